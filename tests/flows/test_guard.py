"""All that a command started ends with it, with its guard's parent, or on request."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from flows.guard import end_guard_with_parent, guarded
from flows.local_server import start, stop
from tasks.errors import BadWorkspace
from tasks.home import prepare_environment
from tasks.running import announce, announced, running

REPOSITORY = Path(__file__).parents[2]
PARENT = """
import sys, time
from pathlib import Path
from flows.guard import end_guard_with_parent, guarded
from flows.local_server import start
start(guarded("sh", "-c", sys.argv[1]), Path(sys.argv[2]), end_guard_with_parent)
time.sleep(600)
"""


class Sleepers:
    """Processes that sleep for a time that no other process does."""

    def __init__(self, folder: Path) -> None:
        self.seconds = f"600.{abs(hash(folder))}"
        one = f"sleep {self.seconds}"
        deaf = f"(trap '' TERM; {one}; {one})"
        self.command = f"{one} & setsid {one} & {deaf} & wait"

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while len(found := self.there()) != count:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def there(self) -> list[psutil.Process]:
        words = ["sleep", self.seconds]
        return [
            found for found in psutil.process_iter(["cmdline"]) if found.info["cmdline"] == words
        ]


@pytest.fixture
def sleepers(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    made = Sleepers(tmp_path)
    yield made
    for process in made.there():
        process.kill()


def test_a_killed_parent_takes_every_descendant_along(sleepers, tmp_path):
    program = [sys.executable, "-c", PARENT, sleepers.command, str(tmp_path / "log")]
    with subprocess.Popen(program) as parent:
        sleepers.wait_for(3)
        parent.kill()
    sleepers.wait_for(0)


def test_a_guard_that_is_asked_ends_every_descendant(sleepers, tmp_path):
    command = guarded("sh", "-c", sleepers.command)
    guard = start(command, tmp_path / "log", end_guard_with_parent)
    sleepers.wait_for(3)
    stop(guard, 20)
    assert guard.returncode == 0
    assert sleepers.there() == []


def test_a_command_that_ends_leaves_nothing_and_its_exit_code(sleepers, tmp_path):
    command = guarded("sh", "-c", f"setsid sleep {sleepers.seconds} & exit 7")
    assert start(command, tmp_path / "log", end_guard_with_parent).wait(20) == 7
    assert sleepers.there() == []


def test_servers_are_believed_in_only_while_their_command_runs(state_home, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    state_home.mkdir()
    assert running(state_home) == {}
    with announced(state_home) as file:
        assert running(state_home) == {}  # they are being started
        announce(file, {"prefect": "http://127.0.0.1:4200/api"})
        assert running(state_home) == {"prefect": "http://127.0.0.1:4200/api"}
        with pytest.raises(BadWorkspace, match="`retune up` as process"), announced(state_home):
            pass
        prepare_environment()
        assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    file.write_text('{"prefect": "http://127.0.0.1:4200/api", "pid": 1}')  # of a killed one
    assert running(state_home) == {}


def test_who_reads_of_servers_does_not_keep_them_from_starting(tmp_path: Path) -> None:
    (tmp_path / "services.json").touch()
    with (tmp_path / "services.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        with announced(tmp_path):
            assert running(tmp_path) == {}
