"""The connection to MLflow, with retries while its server is down.

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

from tasks.errors import BadInput, RetuneError, behind, first_line
from tasks.home import without_password
from tasks.tracking.database import prepare_database

T = TypeVar("T")

LONGEST_WAIT_S = 10.0
CHECK_TIMEOUT_S = "10"
TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"

_DOWN = (
    ConnectionError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.RetryError,  # 429 and 5xx, again and again
)

SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")

_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")

logger = logging.getLogger("retune")


def connect() -> MlflowClient:
    """A client of the tracking server or database that `MLFLOW_TRACKING_URI` names.

    Raises:
        BadInput: The database is a file of another kind, or damaged.
        BadWorkspace: The database can't be made.
    """
    # MLflow's own seven retries block a call for minutes and can't be told from a hang; the
    # callers here wait and try again themselves.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    # Standard output belongs to `--json`.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # It prints a traceback of every failure, besides raising it.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    _check_scheme(without_password(tracking_uri()))
    prepare_database(tracking_uri())
    return MlflowClient(tracking_uri())


def _check_scheme(uri: str) -> None:
    """Refuse what MLflow 3 has no store for any more, folders of runs among it."""
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in SCHEMES:
        expected = "the address of a server (http://HOST:PORT) or database (sqlite:///FILE)"
        mend = "unset it to use the database in the state folder"
        raise BadInput("MLFLOW_TRACKING_URI", expected, uri, mend)


def tracking_uri() -> str:
    """The server or database that runs and versions go to."""
    return mlflow.get_tracking_uri()


def check_store() -> None:
    """Return if the server answers, and answers to this user, or the database can be opened.

    Raises:
        BadInput: It can't be used.
    """
    client = connect()
    if not tracking_uri().startswith("http"):
        return
    own = os.environ.get(TIMEOUT)
    os.environ[TIMEOUT] = own or CHECK_TIMEOUT_S
    try:
        client.search_registered_models(max_results=1)
    except (MlflowException, requests.exceptions.RequestException) as error:
        raise _unusable(error) from None
    finally:
        if own is None:
            del os.environ[TIMEOUT]


def _unusable(error: Exception) -> BadInput:
    """What is told of a server that is away, refuses this user, or is no MLflow server."""
    where = without_password(tracking_uri())
    found = without_password(first_line(error))
    if is_refusal(error):
        mend = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        return BadInput(where, "a user whom MLflow's server lets do this", found, mend)
    found = "no answer" if is_down(error) else found.partition(". Response body:")[0]
    mend = "start it, or set MLFLOW_TRACKING_URI to yours"
    return BadInput(where, "an MLflow server that answers", found, mend)


def is_refusal(error: BaseException) -> bool:
    """Whether an error says that the server wants a password, or more rights."""
    return isinstance(error, MlflowException) and error.error_code in _REFUSED


def is_not_from_mlflow(error: BaseException) -> bool:
    """Whether an error says that what answers is no MLflow server: those refuse in JSON."""
    # Such refusals are of a subclass, and what the client itself objects to begins otherwise.
    is_plain = type(error) is MlflowException and error.message.startswith("API request to")
    return is_plain and not is_down(error)


def is_missing(error: MlflowException) -> bool:
    """Whether an error says that MLflow does not have, or no longer has, what was asked for."""
    return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST")


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
        BadInput: The server wants a password, or more rights, or is none of MLflow's.
        MlflowException: The server refuses the call for another reason.
    """
    deadline = time.monotonic() + timeout_s
    wait_s = 1.0
    while True:
        try:
            return call()
        except (MlflowException, requests.exceptions.RequestException) as error:
            if is_refusal(error) or is_not_from_mlflow(error):
                raise _unusable(error) from None
            if not is_down(error):
                raise
            if time.monotonic() + wait_s > deadline:
                # Its cause has the URL with its password, and tracebacks are kept.
                raise RetuneError(_still_down(timeout_s)) from None
        where = without_password(tracking_uri())
        logger.warning("MLflow at %s does not answer; trying again in %.0f s", where, wait_s)
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _still_down(timeout_s: float) -> str:
    return (
        f"MLflow at {without_password(tracking_uri())} did not answer for {timeout_s:.0f} s. "
        "What has been made so far is kept: start the server, and the same command goes on."
    )
