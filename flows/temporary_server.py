"""A Prefect server for the length of one command, where the user has set up none.

    with temporary_server() as wait_until_ready:
        from flows.finetune import finetune     # a second of imports, while the server starts
        wait_until_ready()
        finetune("configs/recipes/support_chat.yaml")

Prefect can start one by itself, but then imports the whole server into this process as well
(2 of 8 seconds), and leaves it behind when this process is killed. Its database is the one in
`PREFECT_HOME`, so the history of runs stays; `<PREFECT_HOME>/server.log` has what it prints.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from flows.configured_server import check_server, is_configured
from flows.local_server import HOST, free_port, keep_from_proxy, start, stop, wait_until_ready
from tasks.launch import end_with_parent

SEND_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
NAME = "Prefect's temporary server"

SERVER_BYTES = 200 * 2**20
"""Memory that it takes."""

logger = logging.getLogger("retune")

ENVIRONMENT = {
    # As Prefect starts its own temporary server: no UI, and only the services that record runs.
    "PREFECT_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    # Nothing here uses blocks, and registering them takes half a second.
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
}


@contextmanager
def temporary_server() -> Iterator[Callable[[], None]]:
    """Start a server unless one is configured, and end it with the block or with this process.

    Call it before prefect is imported, which reads `PREFECT_API_URL` once.

    Yields:
        A function that returns when the server answers. It raises `RetuneError` where the server
        did not start, with the end of its log, and `BadInput` where the configured one is away.
    """
    if is_configured():
        yield check_server
        return
    logger.info("starting %s", NAME)
    url = f"http://{HOST}:{free_port()}/api"
    keep_from_proxy()
    log = Path(os.environ["PREFECT_HOME"]) / "server.log"
    process = start(_command(url), log, _end_with_command, ENVIRONMENT)
    os.environ["PREFECT_API_URL"] = url
    try:
        yield lambda: wait_until_ready(NAME, process, f"{url}/health", log)
    finally:
        _send_what_is_left()
        del os.environ["PREFECT_API_URL"]
        stop(process, STOP_TIMEOUT_S, signal.SIGINT)


def _command(url: str) -> list[str]:
    app = ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
    address = ["--host", HOST, "--port", str(urlsplit(url).port)]
    return [sys.executable, "-m", "uvicorn", *app, *address, "--log-level", "error"]


def _end_with_command() -> None:
    """For `preexec_fn`: SIGTERM, which systemd sends to all at once, is for the command alone.

    The run has yet to tell the server of its end.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    end_with_parent()


def _send_what_is_left() -> None:
    """Have Prefect send its last logs and events; later it would retry for a minute."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=SEND_TIMEOUT_S)
        EventsWorker.drain_all(timeout=SEND_TIMEOUT_S)
