"""Runs a command and ends it, with all its descendants, when this process or its parent ends.

    python -m flows.guard prefect worker start --pool retune

A worker starts flow runs, a flow run starts training, a server starts more of itself; when their
parent is killed they would go on. The kernel tells this process of its parent's end, and hands it
every orphan among its descendants, so that none is missed.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from types import FrameType

import psutil

from tasks.launch import end_with_parent

GRACE_S = 20.0
"""Time between asking the command to end and killing it."""

ORPHANS_GRACE_S = 5.0
"""The same for what it leaves behind."""

POLL_S = 0.05


class _Terminated(Exception):
    """This process was asked to end."""


def main(command: list[str]) -> int:
    """Run the command.

    Args:
        command: The program and its arguments.

    Returns:
        Its exit code; 0 where it was ended on request.
    """
    _adopt_orphans()
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, _raise_terminated)
    child = None
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        return child.wait()
    except _Terminated:
        return 0
    finally:
        for asked in (signal.SIGTERM, signal.SIGINT):
            signal.signal(asked, signal.SIG_IGN)
        if child is not None:
            _end(child)
        _end_orphans()


def guarded(*command: str) -> list[str]:
    """The command line that runs a command under a guard."""
    return [sys.executable, "-m", "flows.guard", *command]


def end_guard_with_parent() -> None:
    """For `preexec_fn`: have the guard told when the process that starts it ends."""
    end_with_parent(signal.SIGTERM)


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _adopt_orphans() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_child_subreaper = 36
    if hasattr(libc, "prctl"):
        libc.prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Ask the command to end; kill it where it does not within `GRACE_S`."""
    child.terminate()
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end_orphans() -> None:
    """End what the command has left behind, and what those have started."""
    deadline = time.monotonic() + ORPHANS_GRACE_S
    for process in _alive():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    while left := _alive():
        if time.monotonic() > deadline:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(POLL_S)


def _alive() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    with contextlib.suppress(ChildProcessError):  # there are none
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    return [process for process in found if not _is_zombie(process)]


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
