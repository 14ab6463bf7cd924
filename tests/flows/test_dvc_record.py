"""What DVC is told of a workspace, and that nothing it refuses makes a run fail."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from flows.dvc_record import record_in_dvc

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of DVC's own code

PIPELINE = """\
stages:
  ingest:
    cmd: none
    params: [recipe.yaml: [split]]
    outs: [work/ingest]
  elsewhere:
    cmd: none
    outs: [other/ingest]
"""


@pytest.fixture
def workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Path]:
    """A workspace that the DVC repository of the current folder has a stage of."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "retune")
    Repo.init(no_scm=True).close()
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "recipe.yaml").write_text("split: {seed: 7}\n")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "ingest").write_text("made")
    yield tmp_path / "work"


def behind() -> bool:
    with Repo(".") as repo:
        return bool(repo.status(["ingest"]))


def test_it_is_told_where_it_is_behind(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    record_in_dvc(workspace, is_new=True)
    assert caplog.messages == ["dvc: recorded 1 stages in dvc.lock, to be committed"]
    assert not behind()
    record_in_dvc(workspace, is_new=False)
    assert len(caplog.messages) == 1
    (workspace / "ingest").write_text("made again")
    record_in_dvc(workspace, is_new=True)
    assert len(caplog.messages) == 2 and not behind()


def test_what_it_refuses_is_a_warning_and_made_up_for_later(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Repo(".") as other, other.lock:
        record_in_dvc(workspace, is_new=True)
    assert caplog.messages[-1].startswith("dvc: dvc.lock is not up to date: Unable to acquire lock")
    recipe = Path("recipe.yaml")
    text = recipe.read_text()
    recipe.write_text("train: {}\n")
    record_in_dvc(workspace, is_new=False)
    assert "'split' are missing" in caplog.messages[-1]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    recipe.write_text(text)
    record_in_dvc(workspace, is_new=False)
    assert not behind()


def test_a_folder_for_reading_only_stays_as_it_is(
    workspace: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    record_in_dvc(workspace, is_new=True)
    assert caplog.messages == [] and not Path("dvc.lock").exists()
