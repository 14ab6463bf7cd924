"""Progress of long work: a bar with rate and time left in a terminal, else a line now and then.

train  epoch 2/3  loss 1.92  8,120 tokens/s  ━━━━━━━━━━╸     120/210  0:00:14
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import cache
from threading import Lock
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S = 10.0
UNITS_AT_ONCE = 500
_LOCK = Lock()

logger = logging.getLogger("retune")

T = TypeVar("T")


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

    def __init__(self, name: str, first: str = "") -> None:
        """Nothing is measured before the first update.

        Args:
            name: What the work is called.
            first: What is done before that.
        """
        self.name = name
        self.first = first
        self._total = 0.0
        self._began = (0.0, 0.0)
        self._last_line = time.monotonic()
        self._bar = _terminal()

    def __enter__(self) -> Self:
        with _LOCK:
            self._row = self._bar.add_task(f"{self.name}  {self.first}", total=None)
            self._bar.start()  # does nothing where another thread's bar is shown already
        if self._bar.disable and self.first:
            logger.info("%s: %s", self.name, self.first)
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
        now = time.monotonic()
        if total != self._total:  # another piece of work
            self._total, self._began = total, (now, done)
            self._bar.reset(self._row, total=total, completed=int(done))
        self._bar.update(self._row, completed=done, total=total, description=f"{self.name}  {text}")
        if self._bar.disable and (now - self._last_line > LINE_EVERY_S or done == total):
            left = self._left(now, done)
            logger.info("%s: %d of %d, %s%s", self.name, done, total, text, left)
            self._last_line = now

    def _left(self, now: float, done: float) -> str:
        """The time left, at the rate since the work began."""
        began, before = self._began
        if not before < done < self._total:
            return ""
        seconds = (now - began) / (done - before) * (self._total - done)
        return f"  {timedelta(seconds=round(seconds))} left"

    def over(
        self, items: Iterable[T], total: int, unit: str, size: Callable[[T], int] = lambda _: 1
    ) -> Iterator[T]:
        """The items, shown as they are taken.

        Args:
            items: The work.
            total: How many units it has.
            unit: What is counted.
            size: Units in an item.
        """
        began, done, due = time.monotonic(), 0, 0
        for item in items:
            if done >= due:
                rate = done / (time.monotonic() - began + 1e-9)
                self.update(done, total, f"{rate:,.0f} {unit}/s" if done else unit)
                due = done + UNITS_AT_ONCE
            yield item
            done += size(item)
