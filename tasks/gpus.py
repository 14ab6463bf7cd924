"""The GPUs that this process may use, found without torch, and how trainings share them.

A room is the share of the GPUs that one training has at a time:

visible_gpus()  ->  ("0", "1", "2", "3")

with rooms_for(Launch(processes_per_node=2)) as rooms:  # of GPUs 0 and 1, and of 2 and 3
    with rooms.one("lora"):                            # in each of two threads
        launch(...)                                    # CUDA_VISIBLE_DEVICES=2,3
"""

import importlib.metadata
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from tasks.config.train import Launch
from tasks.errors import Stopped

VARIABLE = "CUDA_VISIBLE_DEVICES"
NO_MORE = "-1"
"""In that variable, this name ends the list."""

ONE_GPU = (Path("/dev/kfd"), Path("/dev/dxg"))
"""Devices that stand for a GPU where GPUs have no numbered files: those of AMD, and within WSL."""


@dataclass(frozen=True)
class Room:
    """What the children of one thread may use.

    Attributes:
        name: Of what is done there; empty where nothing is done beside it.
        gpus: As CUDA numbers them.
        closed: Set once the block is left: where work failed, that of other threads then ends.
    """

    name: str
    gpus: tuple[str, ...]
    closed: Event


_ROOM: ContextVar[Room | None] = ContextVar("room", default=None)


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that a child would find, as CUDA numbers them; none on a CPU."""
    if room := _ROOM.get():
        return room.gpus
    if "+cpu" in importlib.metadata.version("torch"):
        return ()
    found = len(list(Path("/dev").glob("nvidia[0-9]*"))) or int(any(map(Path.exists, ONE_GPU)))
    named = os.environ.get(VARIABLE)
    if not found or named is None:
        return tuple(map(str, range(found)))
    names = (name.strip() for name in named.split(",") if name.strip())
    return tuple(takewhile(lambda name: name != NO_MORE, names))


def has_gpu() -> bool:
    """Whether a child would find a GPU."""
    return bool(visible_gpus())


def environment_of_room() -> dict[str, str]:
    """The variables that keep a child of this thread to its room."""
    room = _ROOM.get()
    return {VARIABLE: ",".join(room.gpus)} if room else {}


def name_of_room() -> str:
    """What the work of this thread is called among that of others; empty where it is alone."""
    room = _ROOM.get()
    return room.name if room else ""


def check_open() -> None:
    """Check that the children of this thread may go on.

    Raises:
        Stopped: Its room was closed.
    """
    room = _ROOM.get()
    if room and room.closed.is_set():
        raise Stopped("ended, because work beside it failed or was interrupted")


class Rooms:
    """Shares of this machine's GPUs, each for one training at a time."""

    def __init__(self, shares: Sequence[tuple[str, ...]]) -> None:
        self.num = len(shares)
        self._closed = Event()
        self._free: SimpleQueue[tuple[str, ...]] = SimpleQueue()
        for share in shares:
            self._free.put(share)

    @contextmanager
    def one(self, name: str) -> Iterator[None]:
        """Wait for a free one and have it for a block: children of this thread use its GPUs.

        Args:
            name: Of what is done in it.

        Raises:
            Stopped: The rooms were closed.
        """
        gpus = self._free.get()
        before = _ROOM.set(Room(name if self.num > 1 else "", gpus, self._closed))
        try:
            check_open()
            yield
        finally:
            _ROOM.reset(before)
            self._free.put(gpus)

    def close(self) -> None:
        """End what is done in them."""
        self._closed.set()


@contextmanager
def rooms_for(launch: Launch) -> Iterator[Rooms]:
    """Have as many rooms as there are GPUs for; they are closed with the block.

    On a CPU there is a single one: a training fills its cores.

    Args:
        launch: The processes of each training.
    """
    gpus, each = visible_gpus(), launch.num_per_node
    shares = [gpus]
    if launch.nodes == 1 and len(gpus) >= 2 * each:
        shares = [gpus[first : first + each] for first in range(0, len(gpus) - each + 1, each)]
    rooms = Rooms(shares)
    try:
        yield rooms
    finally:
        rooms.close()
