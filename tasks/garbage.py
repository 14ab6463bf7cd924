"""Settings of Python's garbage collector that make large imports faster.

Importing torch, transformers, mlflow and prefect creates hundreds of thousands of objects, none of
them garbage. By default Python scans them again and again during the import, and once more at exit.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 100_000
"""New objects between two collections, instead of the 700 to 2,000 of Python."""


def collect_seldom() -> None:
    """Collect seldom in this process, and not at all when it exits."""
    gc.set_threshold(SELDOM)
    atexit.register(gc.freeze)


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect nothing inside the block; what exists at its end is never scanned."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()
