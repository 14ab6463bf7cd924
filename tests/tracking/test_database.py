"""MLflow's database is whole or not there, whoever dies, and however many make it at once."""

import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tasks.errors import BadInput, BadWorkspace
from tasks.tracking.database import check_database, prepare_database

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

BROKEN = {
    "another file": b"no database at all, but a text of some length" * 50,
    "cut off": b"SQLite format 3\0" + bytes(300),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_database_is_told_at_once(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="a database of MLflow"):
        prepare_database(f"sqlite:///{path}")


def test_a_database_that_is_locked_is_left_to_mlflow(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE runs (id)")
        database.execute("BEGIN EXCLUSIVE")
        check_database(path)


def test_what_is_no_file_is_left_to_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("sqlite://", "sqlite:///:memory:", "http://127.0.0.1:9"):
        prepare_database(uri)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadWorkspace, match="a folder that can be written to"):
        prepare_database(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")


def _first_command(database: Path, killed_at: int = 0) -> BaseProcess:
    """A process that opens the database, as the first command of a state folder does.

    Args:
        database: The file.
        killed_at: Number of the SQL statement before which it dies.
    """
    process = multiprocessing.get_context("fork").Process(target=_open, args=(database, killed_at))
    process.start()
    return process


def _open(database: Path, killed_at: int) -> None:
    left = itertools.count(killed_at - 1, -1)

    @event.listens_for(Engine, "connect")
    def _(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")  # the test need not wait for the disk

    @event.listens_for(Engine, "before_cursor_execute")
    def _(*_: object) -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    uri = f"sqlite:///{database}"
    prepare_database(uri)
    MlflowClient(uri).search_experiments()


def _experiments(database: Path) -> list[str]:
    return [found.name for found in MlflowClient(f"sqlite:///{database}").search_experiments()]


def test_several_first_commands_make_one_database(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    commands = [_first_command(database) for _ in range(3)]
    for command in commands:
        command.join()
    assert [command.exitcode for command in commands] == [0, 0, 0]
    assert _experiments(database) == ["Default"]


def test_a_killed_first_command_leaves_nothing_broken(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    for statement in random.Random(7).sample(range(1, 1600), 3):  # of some 1,700
        killed = _first_command(database, statement)
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
        assert not database.exists()
    last = _first_command(database)
    last.join()
    assert last.exitcode == 0
    assert _experiments(database) == ["Default"]
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock"}
