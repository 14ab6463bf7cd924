"""How a process that ended abnormally is told of; what a start leaves behind: nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import ChildFailed
from tasks.launch import launch
from tests.conftest import ROOT

REPOSITORY = Path(__file__).parents[1]

ENDS = """
import os, signal
print("{}", end="", flush=True)
os.kill(os.getpid(), signal.{})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{REPOSITORY}")
    return tmp_path


KERNEL = r" \(as by the kernel where memory runs out\)"


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("SIGKILL", "", f"SIGKILL{KERNEL}"),
        ("SIGKILL", "some words\\n", f"SIGKILL{KERNEL}; its last words:\nsome words"),
        ("SIGSEGV", "", "SIGSEGV"),
    ],
)
def test_the_signal_that_ended_it_is_told(folder: Path, name: str, words: str, told: str) -> None:
    (folder / "ends.py").write_text(ENDS.format(words, name))
    with pytest.raises(ChildFailed, match=f"^ends was ended by {told}$"):
        launch("ends", folder / "job.json", folder / "events", lambda event: None)


def test_the_launcher_may_be_killed_itself(folder: Path) -> None:
    (folder / "ends.py").write_text("import os; print('hm', flush=True); os.kill(os.getppid(), 9)")
    with pytest.raises(ChildFailed, match=f"^ends was ended by SIGKILL{KERNEL}; .*:\nhm$"):
        launch("ends", folder / "job.json", folder / "events", lambda event: None)


def test_what_it_said_last_is_told(folder: Path) -> None:
    (folder / "ends.py").write_text("raise ArithmeticError('seven is odd')")
    with pytest.raises(
        ChildFailed, match=r"(?s)^ends failed; .*:\n.*ArithmeticError: seven is odd$"
    ):
        launch("ends", folder / "job.json", folder / "events", lambda event: None)


def test_it_leaves_nothing_among_temporary_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = folder / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    (folder / "begins.py").write_text("import os, tempfile; print(tempfile.gettempdir())")
    launch("begins", folder / "job.json", folder / "events", lambda event: None)
    assert (folder / "job.log").read_text().split() == [str(temporary)]
    assert not list(temporary.iterdir())


def test_torchrun_waits_for_none_of_its_threads() -> None:
    """A signal leaves one that follows a log, where it comes as the others are being started."""
    lines = """
import runpy, threading
import torch.distributed.run as torchrun

def interrupted():
    threading.Thread(target=threading.Event().wait).start()
    raise RuntimeError("as by a signal")

torchrun.main = interrupted
runpy.run_module("tasks.torchrun", run_name="__main__")
"""
    command = [sys.executable, "-c", lines, "--standalone"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "as by a signal" in ended.stderr
