"""Starts servers on this machine's loopback address, waits until they answer, and stops them.

process = start(["prefect", "server", "start"], Path("server.log"), end_with_parent)
wait_until_ready("Prefect's server", process, "http://127.0.0.1:4200/api/health", log)
"""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tasks.errors import BadWorkspace, RetuneError

HOST = "127.0.0.1"
STARTUP_TIMEOUT_S = 180.0
POLL_S = 0.05
TAIL_LINES = 10


def start(
    command: list[str],
    log: Path,
    end_with_parent: Callable[[], None],
    environment: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a server in the background.

    Args:
        command: Program and arguments.
        log: File for what it prints, overwritten.
        end_with_parent: Called in the new process: has the kernel end it with this one.
        environment: Variables besides those of this process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for this process, which ends them in order
            preexec_fn=end_with_parent,
        )


def wait_until_ready(
    name: str,
    process: "subprocess.Popen[bytes]",
    health: str,
    log: Path,
    timeout_s: float = STARTUP_TIMEOUT_S,
) -> None:
    """Return when the server answers.

    Args:
        name: For the message.
        process: What `start` returned.
        health: URL that answers 200 when it is ready.
        log: What it prints.
        timeout_s: How long to wait, in seconds.

    Raises:
        BadWorkspace: It does not answer, and there is no room on the disk of its log.
        RetuneError: It ended, or does not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + timeout_s
    while not answers(health):
        if process.poll() is not None or time.monotonic() > deadline:
            raise failed(name, process, log)
        time.sleep(POLL_S)


def failed(name: str, process: "subprocess.Popen[bytes]", log: Path) -> RetuneError:
    """The error for a server that ended or does not answer, with the end of its log.

    One whose disk is full can't even write down that it is.
    """
    if no_room := BadWorkspace.on_a_full_disk(log.parent):
        return no_room
    state = "ended" if process.poll() is not None else "does not answer"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    tail = "\n".join(lines[-TAIL_LINES:])
    return RetuneError(f"{name} {state}; the end of {log}:\n{tail}")


def answers(url: str) -> bool:
    """Whether a GET of this URL, on this machine, is answered by 200."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10.0)
    try:
        connection.request("GET", place.path)
        with connection.getresponse() as response:
            return response.status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def stop(
    process: "subprocess.Popen[bytes]", timeout_s: float, by: signal.Signals = signal.SIGTERM
) -> None:
    """Ask a server to end, by a signal; kill it where it does not within `timeout_s` seconds."""
    process.send_signal(by)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port(wanted: int = 0) -> int | None:
    """The wanted port where it is free, None where it is taken; any free one for 0."""
    try:
        with socket.create_server((HOST, wanted)) as probe:
            port: int = probe.getsockname()[1]
            return port
    except OSError:
        return None


def keep_from_proxy() -> None:
    """Exclude this machine's own address from any `HTTP_PROXY`."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [host for host in os.environ.get(name, "").split(",") if host]
        if HOST not in known:
            os.environ[name] = ",".join([*known, HOST])
