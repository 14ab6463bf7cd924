"""Attempts at one training, each killed at a moment that is told: `Moment("events", 12, "child")`.

An attempt is two processes, as in a run: a parent, and a child that does the work of
`torchrun -m tasks.training JOB`. Both are forked from a server that has torch imported already.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import Any, Literal

import psutil

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tasks.training.main", "torch._dynamo"])  # optimizers need it

LONGEST_S = 120.0
"""In which processes that work together must end."""

NO_MEMORY = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"

FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")


@dataclass(frozen=True)
class Moment:
    """When to kill, and whom.

    Attributes:
        unit: What is counted: what the child does to files of its scratch folder, bytes of its
            second checkpoint, or seconds.
        count: As many of them.
        victim: The child, its parent, or both.
    """

    unit: Literal["events", "bytes", "seconds"]
    count: float
    victim: Literal["child", "parent", "both"]


def attempt(job: Path, moment: Moment | None = None) -> bool:
    """Train until done, or until killed; all processes are gone afterwards.

    Returns:
        Whether the training was done.
    """
    output = job.parent / "output"
    shutil.rmtree(output)
    output.mkdir()
    receive, send = SERVER.Pipe(duplex=False)
    parent = SERVER.Process(target=_parent, args=(job, moment, send))
    parent.start()
    send.close()
    try:
        child = psutil.Process(receive.recv())
    except (EOFError, psutil.NoSuchProcess):
        child = None
    if moment and moment.unit == "seconds":
        time.sleep(moment.count)
        for process in _victims(moment, child, parent):
            _kill(process.pid)
    parent.join()
    if child:
        _wait_for_end_of(child)
    return parent.exitcode == 0


def together(job: Path, size: int, port: int, before: Callable[[], object] | None = None) -> bool:
    """Train in several processes, as torchrun starts them; returns whether all ended well.

    Args:
        job: What to train.
        size: How many processes.
        port: Where they meet.
        before: What each of them does before it trains.
    """
    ranks = [
        SERVER.Process(target=_rank, args=(job, rank, size, port, before)) for rank in range(size)
    ]
    return end_well(ranks)


def end_well(ranks: Sequence[Any]) -> bool:
    """Start processes that work together; returns whether all ended well, and within time."""
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(LONGEST_S)
        rank.kill()  # where it waits for another one forever
        rank.join()
    return all(rank.exitcode == 0 for rank in ranks)


def _rank(job: Path, rank: int, size: int, port: int, before: Callable[[], object] | None) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    if before:
        before()
    os._exit(_child(job, None))


def run_out_of_memory(rank: int, most_tokens: int) -> None:
    """Have larger passes of a process fail as they do in torch's allocator."""
    from tasks.training import loop

    if os.environ["RANK"] != str(rank):
        return
    predicted = loop.predicted

    def limited(batch: Any, *others: Any) -> Any:
        if batch.num_padded > most_tokens:
            raise RuntimeError(NO_MEMORY)
        return predicted(batch, *others)

    loop.predicted = limited


def make_no_code(graphs: Path) -> None:
    """Have graphs that are compiled run as they are: making code of them is torch's, and is slow.

    Args:
        graphs: File that gets the rank of this process for each graph.
    """
    import torch
    from torch._dynamo import lookup_backend

    def backend(*graph: Any, **options: Any) -> Any:
        with graphs.open("a") as file:
            file.write(os.environ["RANK"])
        return lookup_backend("aot_eager")(*graph, **options)

    compile_it: Any = torch.nn.Module.compile
    setattr(torch.nn.Module, "compile", partialmethod(compile_it, backend=backend))  # noqa: B010


def _wait_for_end_of(child: psutil.Process) -> None:
    """The kernel ends it with its parent; whoever inherits it may be slow to reap it."""
    deadline = time.monotonic() + 10
    with suppress(psutil.NoSuchProcess):
        while child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the child outlived its parent"
            time.sleep(0.002)


def _victims(moment: Moment, child: Any, parent: Any) -> list[Any]:
    named = {"child": [child], "parent": [parent], "both": [parent, child]}[moment.victim]
    return [process for process in named if process]


def _kill(process_id: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)


def _parent(job: Path, moment: Moment | None, send: Any) -> None:
    child = os.fork()
    if child == 0:
        os._exit(_child(job, moment))
    send.send(child)
    send.close()
    _, status = os.waitpid(child, 0)
    os._exit(0 if status == 0 else 1)


def _child(job: Path, moment: Moment | None) -> int:
    import torch

    from tasks.training.main import main

    torch.set_num_threads(1)
    if moment and moment.unit == "events":
        _die_at_event(job.parent / "scratch", moment)
    if moment and moment.unit == "bytes":
        _die_within_checkpoint(moment)
    with (job.parent / "log").open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        return main(str(job))


def _die(moment: Moment) -> None:
    if moment.victim in ("parent", "both"):
        os.kill(os.getppid(), signal.SIGKILL)
    if moment.victim in ("child", "both"):
        os.kill(os.getpid(), signal.SIGKILL)


def _die_at_event(scratch: Path, moment: Moment) -> None:
    seen = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in FILE_EVENTS and str(arguments[0]).startswith(str(scratch)):
            seen += 1
            if seen == moment.count:
                _die(moment)

    sys.addaudithook(count)


def _die_within_checkpoint(moment: Moment) -> None:
    import torch

    save, saved = torch.save, 0

    class Dying:
        """A file that ends the process after some bytes."""

        def __init__(self, file: Any) -> None:
            self.file = file
            self.left = int(moment.count)

        def write(self, data: bytes) -> int:
            view = memoryview(data).cast("B")
            self.file.write(view[: self.left])
            self.left -= len(view)
            if self.left <= 0:
                self.file.flush()
                _die(moment)
                signal.pause()
            return len(view)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    def save_and_die(state: Any, file: Any) -> None:
        nonlocal saved
        saved += 1
        save(state, Dying(file) if saved == 2 else file)

    torch.save = save_and_die
