"""One run at a time in a workspace; the second is told who holds it, and may wait.

The lock is the kernel's (`flock`), so it goes with its process however that ends. Others, which
the second waits for, are held while an alias of the registry moves or MLflow's database is made.
"""

import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from tasks.errors import BadWorkspace
from tasks.home import state_home

logger = logging.getLogger("retune")


@contextmanager
def workspace_lock(workspace: Path, waits: bool = False) -> Iterator[None]:
    """Hold the workspace.

    Args:
        workspace: Its folder; made where it is new.
        waits: Wait, however long, while another process holds it.

    Raises:
        BadWorkspace: Another process holds it and this one does not wait, or it can't be written
            to.
    """
    path = workspace / ".lock"
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise BadWorkspace.not_writable(str(workspace), error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waits:
                raise BadWorkspace(
                    str(workspace),
                    "a workspace that no other run holds",
                    _holder(path),
                    "wait for it, or give this recipe another `name`",
                ) from None
            logger.info("waiting for the workspace %s, %s", workspace, _holder(path))
            fcntl.flock(file, fcntl.LOCK_EX)
        _write_holder(path)
        yield


@contextmanager
def registry_lock(model: str) -> Iterator[None]:
    """Hold the aliases of a registered model, for the moment that it takes to move one.

    Raises:
        BadWorkspace: The state folder can't be written to.
    """
    with _waited_for(state_home() / "locks" / f"{quote(model, safe='')}.lock"):
        yield


@contextmanager
def database_lock(database: Path) -> Iterator[None]:
    """Hold a database that is a file, while it is made or brought up to date.

    Raises:
        BadWorkspace: It has yet to be made, and its folder can't be written to.
    """
    if database.exists() and not os.access(database.parent, os.W_OK):
        yield  # to be read only
        return
    with _waited_for(database.with_name(f"{database.name}.lock")):
        yield


@contextmanager
def _waited_for(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise BadWorkspace.not_writable(str(path), error) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_holder(path: Path) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        path.write_text(json.dumps(holder), encoding="utf-8")
    except OSError as error:
        raise BadWorkspace.not_writable(str(path.parent), error) from None


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return "held by another process"
    return f"held by process {holder['pid']} on {holder['host']} since {holder['since']}"
