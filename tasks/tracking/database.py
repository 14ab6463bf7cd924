"""MLflow's database, used without a server: created atomically, by one process at a time.

prepare_database("sqlite:////home/ana/.retune/mlflow.db")
"""

import logging
import os
import socket
import sqlite3
import threading
from contextlib import closing
from functools import cache
from pathlib import Path
from urllib.parse import quote

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tasks.errors import BadInput, BadWorkspace, first_line
from tasks.home import without_password
from tasks.lock import database_lock

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
TIMEOUT_S = 5.0
MEND = "restore it from a back-up, or move it away: the next run makes a new one"

logger = logging.getLogger("retune")

_AT_IT = threading.Lock()
"""The tools that MLflow migrates with work for one thread of a process at a time."""


def prepare_database(uri: str) -> None:
    """Make the database if there is none, or have MLflow bring an older one up to date.

    MLflow does either in many small steps. Two processes at it at once fail, and what a killed one
    leaves is neither migrated nor opened ever again.

    Args:
        uri: Of the tracking store. Of other databases than SQLite's, only the server is looked for.

    Raises:
        BadInput: The file is no SQLite database, or damaged, or MLflow can't migrate it; or the
            server is away; or it is no address of a database.
        BadWorkspace: It can't be made.
    """
    with _AT_IT:
        _prepare(uri)


@cache
def _prepare(uri: str) -> None:
    if not uri.startswith(("sqlite", *PORTS)):
        return
    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        expected = "the address of a database (sqlite:////FILE, postgresql://USER@HOST:PORT/NAME)"
        raise BadInput("MLFLOW_TRACKING_URI", expected, without_password(uri)) from None
    if url.get_backend_name() in PORTS:
        _check_reachable(url)
        return
    if not url.database or url.database.startswith((":memory:", "file:")):
        return
    path = Path(url.database)
    with database_lock(path):
        if path.exists():
            check_database(path)
            _open(uri, path)
        else:
            logger.info("making MLflow's database %s", path)
            _make(url, path)


def check_database(path: Path) -> None:
    """Fail at once on what MLflow would try to open for 100 s.

    Args:
        path: The file. One that is locked is for MLflow to wait for.

    Raises:
        BadInput: It is no SQLite database, or damaged.
    """
    try:
        uri = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(uri, timeout=0, uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        pass
    except sqlite3.DatabaseError as error:
        raise BadInput(str(path), "a database of MLflow", str(error), MEND) from None


def _open(uri: str, path: Path) -> None:
    """Have MLflow open a database, or migrate it."""
    try:
        MlflowClient(uri)
    except _of_migrations() as error:
        cause = getattr(error, "orig", None)  # what the database said; none where MLflow objects
        is_about_tables = (
            cause is None or getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
        )
        if not is_about_tables or BadWorkspace.behind(error, path.parent):
            raise
        found = first_line(error)
        expected = "a database of MLflow, which it can bring up to date"
        mend = f"`mlflow db upgrade {uri}` if it is an older one; {MEND}"
        raise BadInput(str(path), expected, found, mend) from None


def _of_migrations() -> tuple[type[Exception], ...]:
    from alembic.util.exc import CommandError  # takes long to import, and is seldom needed

    return MlflowException, SQLAlchemyError, CommandError


def _check_reachable(url: URL) -> None:
    """Fail soon on a server that is away, which MLflow tries to reach for 100 s."""
    if not url.host:
        return
    try:
        address = url.host, url.port or PORTS[url.get_backend_name()]
        socket.create_connection(address, TIMEOUT_S).close()
    except OSError as error:
        where = without_password(url.render_as_string())
        mend = "start it, or set MLFLOW_TRACKING_URI to yours"
        raise BadInput(where, "a database that answers", str(error), mend) from None


def _make(url: URL, path: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    partial = path.with_name(f"{path.name}.partial")
    for left in (partial, partial.with_name(f"{partial.name}-journal")):
        left.unlink(missing_ok=True)
    made = url.set(database=str(partial)).render_as_string(hide_password=False)
    artifacts = (path.absolute().parent / "mlartifacts").as_uri()
    store = SqlAlchemyStore(made, artifacts)  # type: ignore[no-untyped-call]
    store.engine.dispose()
    os.replace(partial, path)
