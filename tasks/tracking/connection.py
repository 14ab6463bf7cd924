"""The connection to MLflow, and patience while its server is down.

run = retry_while_down(lambda: connect().get_run("5d41..."))
"""

import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tasks.errors import RetuneError, behind
from tasks.home import without_password

T = TypeVar("T")

LONGEST_WAIT_S = 10.0

_DOWN = (
    ConnectionError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.RetryError,  # 429 and 5xx, again and again
)

logger = logging.getLogger("retune")


def connect() -> MlflowClient:
    """A client of the tracking server or database that `MLFLOW_TRACKING_URI` names."""
    # MLflow's own seven retries block a call for minutes and can't be told from a hang; the
    # callers here wait and try again themselves.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    # Standard output belongs to `--json`.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # It prints a traceback of every failure, besides raising it.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri())


def tracking_uri() -> str:
    """The server or database that runs and versions go to."""
    return mlflow.get_tracking_uri()


def is_down(error: BaseException) -> bool:
    """Whether an error says that the server can't be reached, not that it refuses the call."""
    if isinstance(error, MlflowException) and error.error_code == "TEMPORARILY_UNAVAILABLE":
        return True
    return any(isinstance(link, _DOWN) for link in behind(error))


def retry_while_down(call: Callable[[], T], timeout_s: float = 600.0) -> T:
    """Call, and call again for as long as the server is down.

    Args:
        call: May be called several times, so it must not mind having half happened.
        timeout_s: How long to go on trying, in seconds.

    Returns:
        What `call` returns.

    Raises:
        RetuneError: The server is still down after `timeout_s`.
        MlflowException: The server refuses the call.
    """
    deadline = time.monotonic() + timeout_s
    wait_s = 1.0
    while True:
        try:
            return call()
        except (MlflowException, requests.exceptions.RequestException) as error:
            if not is_down(error):
                raise
            if time.monotonic() + wait_s > deadline:
                # Its cause has the URL with its password, and tracebacks are kept.
                raise RetuneError(_still_down(timeout_s)) from None
        logger.warning("MLflow does not answer; trying again in %.0f s", wait_s)
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _still_down(timeout_s: float) -> str:
    return (
        f"MLflow at {without_password(tracking_uri())} did not answer for {timeout_s:.0f} s. "
        "What has been made so far is kept: start the server, and the same command goes on."
    )
