"""When Python looks for garbage: seldom, where it imports what is large.

torch, transformers, mlflow and prefect are hundreds of thousands of objects, none of them garbage,
which Python would look through again and again while they become more, and once more at the end.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 100_000
"""New objects before it looks, instead of the 700 to 2,000 of Python."""


def collect_seldom() -> None:
    """Look seldom in a process that is a command, and not at all at its end."""
    gc.set_threshold(SELDOM)
    atexit.register(gc.freeze)


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for none inside; what is there afterwards is never looked through."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()
