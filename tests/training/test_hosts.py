"""Two hosts train what one process learns, and go on after one of them lost its process.

Each host has a network, a host name and mounts of its own: namespaces, joined by a veth pair. The
second one sees the workspace read-only, so that nothing but the first could write there.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT
from tests.training.attempts import attempt
from tests.training.trainers import without_dropout

ADDRESSES = {"node0": "10.77.0.1", "node1": "10.77.0.2"}
LAUNCH = {"nodes": 2, "rendezvous": "node0:29500"}
PATIENCE_S = 120

RENAME = "import socket, sys; socket.sethostname(sys.argv[1])"
TRAIN = """\
import logging, pathlib, sys
from tasks.launch import launch
from tasks.training.job import TrainJob

logging.basicConfig(level=logging.INFO)
path = pathlib.Path(sys.argv[1])
job = TrainJob.model_validate_json(path.read_text(encoding="utf-8"))
launch("tasks.training", path, job.events, lambda event: None, job.train.launch)
"""
"""What the stage does on the first host."""


def within(host: subprocess.Popen[bytes], *command: str) -> list[str]:
    return ["nsenter", "--target", str(host.pid), "--net", "--uts", "--mount", "--", *command]


def join(first: subprocess.Popen[bytes], second: subprocess.Popen[bytes], folder: Path) -> None:
    """Give two hosts names, addresses and a cable; the second one may not write into the folder."""
    known, no_server = folder / "hosts", folder / "resolv.conf"
    no_server.touch()  # asking one that is out of reach takes ten seconds
    lines = ["127.0.0.1 localhost", *(f"{there} {name}" for name, there in ADDRESSES.items())]
    known.write_text("\n".join(lines) + "\n", encoding="utf-8")
    peer = ("peer", "name", "eth0", "netns", str(second.pid))
    commands = [within(first, "ip", "link", "add", "eth0", "type", "veth", *peer)]
    for host, (name, address) in zip((first, second), ADDRESSES.items(), strict=True):
        commands += [
            within(host, sys.executable, "-c", RENAME, name),
            within(host, "mount", "--bind", str(known), "/etc/hosts"),
            within(host, "mount", "--bind", str(no_server), "/etc/resolv.conf"),
            within(host, "ip", "address", "add", f"{address}/24", "dev", "eth0"),
            within(host, "ip", "link", "set", "eth0", "up"),
            within(host, "ip", "link", "set", "lo", "up"),
        ]
    commands.append(within(second, "mount", "--bind", "-o", "ro", str(folder), str(folder)))
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two of them; they are gone with the processes that hold their namespaces."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip", "mount"))):
        pytest.skip("hosts of namespaces need root and the commands unshare, nsenter, ip and mount")
    command = ["unshare", "--net", "--uts", "--mount", "sleep", "600"]
    with ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(command)) for _ in ADDRESSES]
        stack.callback(lambda: [host.kill() for host in started])
        try:
            wait_for(lambda: all(map(has_own_network, started)), "namespaces")
            join(started[0], started[1], tmp_path)
        except (AssertionError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"").decode().strip()
            pytest.skip(f"the kernel allows no hosts of namespaces: {error} {said}")
        yield started


def has_own_network(host: subprocess.Popen[bytes]) -> bool:
    assert host.poll() is None, "unshare failed"
    spaces = [Path("/proc", str(process), "ns/mnt") for process in (os.getpid(), host.pid)]
    return os.readlink(spaces[0]) != os.readlink(spaces[1])


def wait_for(happens: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline, f"no {what} in {PATIENCE_S} s"
        time.sleep(0.02)


def start(
    hosts: list[subprocess.Popen[bytes]], job: Path, log: Path
) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Train on both, as docs/scaling.md says: the second runs what the first one logs."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as told:
        train = within(hosts[0], sys.executable, "-c", TRAIN, str(job))
        first = subprocess.Popen(train, env=environment, stdout=told, stderr=told)
    wait_for(lambda: "run on each: " in log.read_text(encoding="utf-8"), "command for the others")
    command = log.read_text(encoding="utf-8").partition("run on each: ")[2].splitlines()[0]
    with log.with_suffix(".second").open("wb") as told:
        join_in = within(hosts[1], "sh", "-c", f"exec {command}")
        return first, subprocess.Popen(join_in, env=environment, stdout=told, stderr=told)


def events(job: Path, name: str) -> list[dict[str, Any]]:
    lines = (job.parent / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == name]


def losses(job: Path) -> dict[int, float]:
    return {event["step"]: event["loss"] for event in events(job, "step")}


def test_two_hosts_learn_what_one_process_does_and_go_on_when_one_is_lost(
    hosts: list[subprocess.Popen[bytes]], write_job: Callable[..., Path], tmp_path: Path
) -> None:
    one = write_job(tmp_path / "one", "t5", 120, epochs=4)
    two = write_job(tmp_path / "two", "t5", 120, epochs=4, launch=LAUNCH)
    for job in (one, two):
        content = json.loads(job.read_text(encoding="utf-8"))
        content["base"] = str(without_dropout(Path(content["base"]), job.parent / "base"))
        job.write_text(json.dumps(content), encoding="utf-8")
    assert attempt(one)

    first, second = start(hosts, two, tmp_path / "lost.log")
    wait_for(lambda: [*(two.parent / "scratch").glob("checkpoint-*.pt")], "checkpoint")
    [worker] = psutil.Process(second.pid).children()
    worker.send_signal(signal.SIGKILL)
    assert first.wait(PATIENCE_S) == 1 and second.wait(PATIENCE_S) == 1
    assert not events(two, "done")
    before = losses(two)

    first, second = start(hosts, two, tmp_path / "again.log")
    assert first.wait(PATIENCE_S) == 0, (tmp_path / "again.log").read_text(encoding="utf-8")
    assert second.wait(PATIENCE_S) == 0
    [resumed] = events(two, "resumed")
    after = losses(two)
    assert min(after) == resumed["step"] + 1 > 1
    assert before | after == pytest.approx(losses(one), abs=1e-3)
    assert events(two, "start")[0]["processes"] == 2 and len(events(two, "done")) == 1
    assert (two.parent / "output" / "model" / "model.safetensors").exists()
