"""Where the servers of `retune up` answer, for the commands that use the same state folder.

<state>/services.json   {"prefect": "http://127.0.0.1:4200/api", "mlflow": "http://127.0.0.1:5000",
                         "pid": 4711}

It counts only while `retune up` holds the lock on it, so nothing that was killed is believed.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tasks.errors import BadWorkspace

FILE = "services.json"
READERS_S = 1.0
"""How long to try for the lock: whoever reads the file holds it too, for a moment."""
POLL_S = 0.01


@contextmanager
def announced(home: Path) -> Iterator[Path]:
    """Hold the right to run servers on a state folder.

    Yields:
        The file to announce their addresses in, empty at first; emptied again at the end.

    Raises:
        BadWorkspace: Another process has it.
    """
    path = home / FILE
    with path.open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + READERS_S
        while not _locked(file):
            if time.monotonic() > deadline:
                found = f"`retune up` as process {_read(path).get('pid', '(starting)')}"
                mend = "use its servers, or end it first"
                raise BadWorkspace(str(home), "a state folder without servers", found, mend)
            time.sleep(POLL_S)
        try:
            file.truncate(0)
            yield path
        finally:
            file.truncate(0)


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def announce(path: Path, addresses: Mapping[str, str]) -> None:
    """Write down where the servers answer; in place, since the lock is on the file.

    Args:
        path: What `announced` yielded.
        addresses: Name of a server -> its URL.
    """
    path.write_text(json.dumps({**addresses, "pid": os.getpid()}), encoding="utf-8")


def running(home: Path) -> Mapping[str, str]:
    """Name -> URL of the servers that run on a state folder; empty where none do."""
    path = home / FILE
    try:
        with path.open("r", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return {name: url for name, url in _read(path).items() if name != "pid"}
    except OSError:
        pass  # there is none, or it is another user's
    return {}


def _read(path: Path) -> dict[str, str]:
    try:
        content: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return {}  # not announced yet
    return content
