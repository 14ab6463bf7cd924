"""A champion whose MLflow run is gone (`mlflow gc`) is still judged against and verified."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service import utils

from tasks.tracking import registry
from tasks.tracking.case import ANSWERS
from tasks.tracking.verify import verify
from tests.registering import pipeline, predictions, probe_answers, registered

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code


def scored(_: registry.Version, stage: str, asked: Sequence[Any], folder: Path) -> Path:
    file = folder / stage / ANSWERS
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(predictions(0.2, "Gist") if stage == "test" else probe_answers(0.0))
    return file


def purge(run_id: str) -> None:
    client = MlflowClient()
    client.delete_run(run_id)
    client._tracking_client.store._hard_delete_run(run_id)
    del utils._artifact_repos_cache[run_id]  # another process has none


def test_a_champion_without_its_run_is_judged_against_and_verified(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    workspace = home / "workspaces" / "chat"
    registered(pipeline(workspace))
    champion = registry.by_version("summarizer", "1")
    purge(champion.run_id)
    monkeypatch.setattr("tasks.tracking.judging._score", scored)
    _, result = registered(pipeline(workspace, tuned=0.5))
    assert result["decision"]["promote"]
    assert "answers of version 1 are not kept" in caplog.text

    verified = verify(champion, tmp_path / "scratch")
    assert verified.files > 20
    assert verified.differences == verified.artifacts == ()
    assert champion.run_id in verified.notes[0]
