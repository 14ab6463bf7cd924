"""MLflow's database is whole or not there, whoever dies, and however many make it at once."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tasks.errors import BadInput, BadWorkspace
from tasks.tracking.database import check_database, prepare_database

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

REPOSITORY = Path(__file__).parents[2]

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


LEFT = {
    "of another version": "UPDATE alembic_version SET version_num = 'ffffffffffff'",
    "half-made": "DROP TABLE registered_models; UPDATE alembic_version SET version_num = 'x'",
    "migrated halfway": (
        "DROP TABLE job_locks; UPDATE alembic_version SET version_num = '75868b020152'"
    ),
}


@pytest.mark.parametrize("change", LEFT.values(), ids=LEFT.keys())
def test_what_mlflow_can_not_migrate_is_told(
    change: str, tmp_path: Path, empty_database: Path
) -> None:
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_database, path)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(change)
    with pytest.raises(BadInput, match=f"mlflow db upgrade sqlite:///{path}.*a back-up"):
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


@pytest.mark.parametrize("uri", ["sqlite:mlflow.db", "postgresql://ana:secret@db:port/mlflow"])
def test_an_address_that_is_none_is_told_without_its_password(uri: str) -> None:
    with pytest.raises(BadInput, match="the address of a database") as caught:
        prepare_database(uri)
    assert "secret" not in str(caught.value)


def test_a_folder_that_takes_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadWorkspace, match="a folder that can be written to"):
        prepare_database(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")


FIRST_COMMAND = """
import itertools, os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from mlflow.tracking import MlflowClient
from tasks.tracking.database import prepare_database

uri, left = f"sqlite:///{sys.argv[1]}", itertools.count(int(sys.argv[2]) - 1, -1)

@event.listens_for(Engine, "connect")
def hurry(connection, _):
    connection.execute("PRAGMA synchronous = OFF")  # the test need not wait for the disk

@event.listens_for(Engine, "before_cursor_execute")
def die(*_):
    if next(left) == 0:
        os.kill(os.getpid(), signal.SIGKILL)

prepare_database(uri)
MlflowClient(uri).search_experiments()
"""


def _first_command(database: Path, killed_at: int = 0) -> "subprocess.Popen[bytes]":
    """A process that opens the database, as the first command of a state folder does.

    Args:
        database: The file.
        killed_at: Number of the SQL statement before which it dies.
    """
    command = [sys.executable, "-c", FIRST_COMMAND, str(database), str(killed_at)]
    return subprocess.Popen(command, cwd=REPOSITORY)


def _experiments(database: Path) -> list[str]:
    return [found.name for found in MlflowClient(f"sqlite:///{database}").search_experiments()]


def test_several_first_commands_make_one_database(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    commands = [_first_command(database) for _ in range(2)]
    assert [command.wait() for command in commands] == [0, 0]
    assert _experiments(database) == ["Default"]


def test_a_killed_first_command_leaves_nothing_broken(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    for statement in random.Random(7).sample(range(1, 1600), 2):  # of some 1,700
        assert _first_command(database, statement).wait() == -signal.SIGKILL
        assert not database.exists()
    assert _first_command(database).wait() == 0
    assert _experiments(database) == ["Default"]
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock"}
