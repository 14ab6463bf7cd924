"""Progress of long work: a bar with rate and time left in a terminal, else a line now and then.

train  epoch 2/3  loss 1.92  8,120 tokens/s  ━━━━━━━━━━╸     120/210  0:00:14
"""

import logging
import sys
import time
from functools import cache
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S = 10.0
_LOCK = Lock()

logger = logging.getLogger("retune")


@cache
def _terminal() -> Progress:
    """What shows the bars of all threads, one below the other."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


class Bar:
    """Shows how far a piece of work is, on standard error; a context manager."""

    def __init__(self, name: str) -> None:
        """Nothing is shown before the first update.

        Args:
            name: What the work is called.
        """
        self.name = name
        self._last_line = time.monotonic()
        self._bar = _terminal()

    def __enter__(self) -> Self:
        with _LOCK:
            self._row = self._bar.add_task(self.name, total=None)
            self._bar.start()  # does nothing where another thread's bar is shown already
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _LOCK:
            self._bar.remove_task(self._row)
            if not self._bar.tasks:
                self._bar.stop()

    def update(self, done: float, total: float, text: str) -> None:
        """Show a new state.

        Args:
            done: Units done.
            total: Units in all.
            text: What else there is to say: rates, losses.
        """
        self._bar.update(self._row, completed=done, total=total, description=f"{self.name}  {text}")
        now = time.monotonic()
        if self._bar.disable and (now - self._last_line > LINE_EVERY_S or done == total):
            logger.info("%s: %d of %d, %s", self.name, done, total, text)
            self._last_line = now
