"""Starts the training and scoring processes with `torchrun` and listens to what they report.

The child appends events to a file, one JSON object a line; the parent follows it:

    {"event": "step", "step": 20, "steps": 210, "loss": 2.31, "tokens_per_s": 8123.0}
"""

import ctypes
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from tasks.config.train import Launch
from tasks.errors import BadInput, BadWorkspace, ChildFailed, Issue, OutOfMemory
from tasks.gpus import check_open, environment_of_room
from tasks.room import kernel_kills, num_cores

Event = Mapping[str, Any]
ALONE = Launch(processes_per_node=1)

POLL_S = 0.2
TAIL_LINES = 15
LAUNCHER = "RETUNE_LAUNCHER_PID"

SIGNAL = re.compile(r"Signal \d+ \((\w+)\) received")
"""In torchrun's report, of each process that failed by one."""

logger = logging.getLogger("retune")


def launch(
    module: str,
    job: Path,
    events: Path,
    listen: Callable[[Event], None],
    processes: Launch = ALONE,
) -> None:
    """Run `torchrun -m MODULE JOB` and wait for its end.

    Args:
        module: Module with a `main` that takes the job file's path as its argument.
        job: JSON file that says what to do; the child's log is written beside it.
        events: File that the child appends its events to.
        listen: Called with each event, in order, while the child runs.
        processes: How many of them work together.

    Raises:
        BadInput: The child found the input unusable (an event of the name `bad_input`), or the disk
            is full.
        ChildFailed: It ended abnormally; the message has the end of its log.
        OutOfMemory: The kernel ended it because memory ran out.
        Stopped: The room of this thread was closed (`tasks.gpus.rooms_for`).
    """
    log, kills = job.with_suffix(".log"), kernel_kills()
    events.unlink(missing_ok=True)
    events.touch()
    command = [sys.executable, "-m", "tasks.torchrun", *_topology(processes)]
    command += ["-m", module, str(job)]
    if processes.nodes > 1:
        joining = shlex.join(["torchrun", *command[3:]])
        logger.info("waiting for %d more nodes; run on each: %s", processes.nodes - 1, joining)
    with log.open("w", encoding="utf-8") as output, events.open(encoding="utf-8") as reports:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(processes.num_per_node),
            preexec_fn=partial(end_with_parent, signal.SIGTERM),  # torchrun passes it on
        )
        try:
            bad_input = _follow(child, reports, listen)
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
    if bad_input:
        raise BadInput.all_of(bad_input)
    if child.returncode != 0:
        if full := BadWorkspace.on_a_full_disk(job.parent):  # it had no room to say so
            raise full
        raise _failure(module, child.returncode, log, kernel_kills() > kills)


def _topology(processes: Launch) -> list[str]:
    """Options of torchrun.

    It restarts nothing, since it can't tell bad input from a crash: a failure ends the attempt on
    all nodes, and the same command, or the flow's retry, goes on from the checkpoint.
    """
    count = [f"--nproc-per-node={processes.num_per_node}", "--max-restarts=0"]
    count.append(f"--log-dir={os.devnull}")  # else each start leaves an empty folder in /tmp
    if processes.nodes == 1:
        return ["--standalone", "--local-addr=127.0.0.1", *count]  # a host's name may be unknown
    meeting = f"--rdzv-endpoint={processes.rendezvous}"
    return [f"--nnodes={processes.nodes}", "--rdzv-backend=c10d", meeting, *count]


def _failure(module: str, code: int, log: Path, memory_ran_out: bool) -> ChildFailed:
    """The error for a child: by which signal, and what it printed before torchrun reports on it.

    Args:
        module: What it ran.
        code: The exit code of torchrun.
        log: What torchrun and its processes printed.
        memory_ran_out: Whether the kernel has meanwhile ended a process because memory ran out.
    """
    printed = log.read_text(encoding="utf-8", errors="replace")
    own, _, report = printed.partition("torch/distributed/elastic/multiprocessing/api.py")
    lines = own.rpartition("\n")[0].splitlines()[-TAIL_LINES:]
    words = "; its last words:\n" + "\n".join(lines) if lines else ""
    signals = set(SIGNAL.findall(report)) - {"SIGTERM"}  # by which torchrun ends the others
    if code < 0:
        signals.add(signal.Signals(-code).name)
    if not signals:
        return ChildFailed(f"{module} failed{words}")
    ended = f"{module} was ended by {' and '.join(sorted(signals))}"
    if "SIGKILL" in signals and memory_ran_out:
        return OutOfMemory(f"{ended}, as memory ran out{words}")
    why = " (as by the kernel where memory runs out)" if "SIGKILL" in signals else ""
    return ChildFailed(f"{ended}{why}{words}")


def environment(num_processes: int) -> dict[str, str]:
    """The environment of child processes on this machine, which share its cores."""
    defaults = {
        # Threads that wait by spinning are a quarter faster on an idle machine, but less than
        # half as fast when one other program is busy on it.
        "OMP_WAIT_POLICY": "PASSIVE",
        # Batches of ever new shapes fill oneDNN's cache, torch's own on top of it (which has 1,024
        # places, so that memory grows for hundreds of steps) and the allocator's arenas: less of
        # each took an eighth to a quarter off the peak memory on a CPU, at the same speed.
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "LRU_CACHE_CAPACITY": "32",
        "MALLOC_ARENA_MAX": "1",
    }
    fixed = {
        # torchrun would otherwise leave each one thread.
        "OMP_NUM_THREADS": str(max(1, num_cores() // num_processes)),
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "true",
        LAUNCHER: str(os.getpid()),
    }
    return defaults | os.environ | fixed | environment_of_room()


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to end this process when its parent ends, however that happens.

    An orphan would go on writing into a workspace that the next run already holds.

    Args:
        by: The signal to end it by.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_pdeathsig = 1
    if hasattr(libc, "prctl"):
        libc.prctl(pr_set_pdeathsig, by)


def end_with_launcher() -> None:
    """End this process when the one that called `launch` ends; called in the child, first of all.

    Its parent, torchrun, may have ended before the kernel was asked: then it has another one now.
    """
    end_with_parent()
    launcher = os.environ.get(LAUNCHER)  # none where torchrun was started by hand
    if launcher and psutil.Process(os.getppid()).ppid() != int(launcher):
        sys.exit("the process that launched this one is gone")


def report(events: Path, event: str, **values: Any) -> None:
    """Append one event; called in the child."""
    with events.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"event": event, "time": round(time.time(), 3), **values}) + "\n")


def work(do: Callable[[], None], events: Path) -> int:
    """What the child's entry point calls: do the work, tell the parent what the user can mend.

    Args:
        do: The work.
        events: The file to report to.

    Returns:
        The exit code.
    """
    end_with_launcher()
    try:
        do()
    except Exception as error:
        known = error if isinstance(error, BadInput) else BadWorkspace.behind(error, events.parent)
        if known is None:
            raise
        report(events, "bad_input", issues=[vars(issue) for issue in known.issues])
        return known.exit_code
    return 0


def _follow(
    child: subprocess.Popen[bytes], reports: Any, listen: Callable[[Event], None]
) -> list[Issue]:
    bad_input: list[Issue] = []
    buffer = ""
    while True:
        ended = child.poll() is not None  # asked first, so that the last lines are still read
        buffer += reports.read()
        *lines, buffer = buffer.split("\n")
        for line in lines:
            event = json.loads(line)
            if event["event"] == "bad_input":
                bad_input = [Issue(**issue) for issue in event["issues"]]
            else:
                listen(event)
        if ended:
            return bad_input
        check_open()
        time.sleep(POLL_S)
