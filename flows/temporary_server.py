"""A Prefect server for the length of one command, where the user has set up none.

    with temporary_server() as wait_until_ready:
        from flows.finetune import finetune     # a second of imports, while the server starts
        wait_until_ready()
        finetune("configs/recipes/support_chat.yaml")

Prefect can start one by itself, but then imports the whole server into this process as well
(2 of 8 seconds), and leaves it behind when this process is killed. Its database is the one in
`PREFECT_HOME`, so the history of runs stays; `<PREFECT_HOME>/server.log` has what it prints.
"""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import RetuneError
from tasks.launch import end_with_parent

STARTUP_TIMEOUT_S = 180.0
SEND_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.05
TAIL_LINES = 10

ENVIRONMENT = {
    # As Prefect starts its own temporary server: no UI, and only the services that record runs.
    "PREFECT_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    # Nothing here uses blocks, and registering them takes half a second.
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
}


def is_configured() -> bool:
    """Whether the user has told Prefect which server to use."""
    if "PREFECT_API_URL" in os.environ or "PREFECT_PROFILE" in os.environ:
        return True
    return (Path(os.environ["PREFECT_HOME"]) / "profiles.toml").exists()


@contextmanager
def temporary_server() -> Iterator[Callable[[], None]]:
    """Start a server unless one is configured, and end it with the block or with this process.

    Call it before prefect is imported, which reads `PREFECT_API_URL` once.

    Yields:
        A function that returns when the server answers.

    Raises:
        RetuneError: It did not start; the message has the end of its log.
    """
    if is_configured():
        yield lambda: None
        return
    port = _free_port()
    _keep_from_proxy()
    log = Path(os.environ["PREFECT_HOME"]) / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            _command(port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,  # Ctrl-C must not end it before the run has told it so
            preexec_fn=end_with_parent,
        )
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    try:
        yield lambda: _wait_until_ready(process, port, log)
    finally:
        _send_what_is_left()
        del os.environ["PREFECT_API_URL"]
        _stop(process)


def _command(port: int) -> list[str]:
    app = ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "uvicorn", *app, *address, "--log-level", "error"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _keep_from_proxy() -> None:
    """Have a company's `HTTP_PROXY` not asked for this machine's own address."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*known, "127.0.0.1"])


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_TIMEOUT_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            state = "ended" if process.poll() is not None else "does not answer"
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            tail = "\n".join(lines[-TAIL_LINES:])
            raise RetuneError(f"Prefect's temporary server {state}; the end of {log}:\n{tail}")
        time.sleep(POLL_S)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)
    try:
        connection.request("GET", "/api/health")
        with connection.getresponse() as response:
            return response.status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _send_what_is_left() -> None:
    """Have Prefect send its last logs and events: later it would seek the server for a minute."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=SEND_TIMEOUT_S)
        EventsWorker.drain_all(timeout=SEND_TIMEOUT_S)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
