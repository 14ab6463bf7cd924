"""How a process that ended abnormally is told of."""

from pathlib import Path

import pytest

from tasks.errors import ChildFailed
from tasks.launch import launch

REPOSITORY = Path(__file__).parents[1]

ENDS = """
import os, signal
print("some words", flush=True)
os.kill(os.getpid(), signal.{})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{REPOSITORY}")
    return tmp_path


@pytest.mark.parametrize(("name", "told"), [("SIGKILL", r"\(.*memory runs out\)"), ("SIGSEGV", "")])
def test_the_signal_that_ended_it_is_told(folder: Path, name: str, told: str) -> None:
    (folder / "ends.py").write_text(ENDS.format(name))
    with pytest.raises(ChildFailed, match=f"^ends was ended by {name} ?{told}; .*:\nsome words$"):
        launch("ends", folder / "job.json", folder / "events", lambda event: None)


def test_what_it_said_last_is_told(folder: Path) -> None:
    (folder / "ends.py").write_text("raise ArithmeticError('seven is odd')")
    with pytest.raises(ChildFailed, match=r"(?s)^ends failed:\n.*ArithmeticError: seven is odd$"):
        launch("ends", folder / "job.json", folder / "events", lambda event: None)
