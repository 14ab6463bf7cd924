"""Versions, aliases, and the way back."""

from pathlib import Path
from urllib.parse import urlparse

import pytest
from mlflow.tracking import MlflowClient

from tasks.errors import BadInput, BadModel
from tasks.tracking import registry
from tasks.tracking.package import NAME
from tasks.tracking.run import open_run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code


@pytest.fixture
def run_id(home: Path, tmp_path: Path) -> str:
    return open_run(tmp_path / "ws", "chat", "k", {}, {})


def made(run_id: str, key: str, folder: Path) -> registry.Version:
    """A version whose only file is MLmodel."""
    client = MlflowClient()
    experiment_id = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment_id, name=NAME, source_run_id=run_id)
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    return registry.register("summarizer", logged.model_id, run_id, key, {"retune.a": key})


def test_the_same_key_is_registered_once(run_id: str, tmp_path: Path) -> None:
    assert registry.find("summarizer", "a") is None
    first = made(run_id, "a", tmp_path / "m")
    assert made(run_id, "a", tmp_path / "m").version == first.version == "1"
    assert made(run_id, "b", tmp_path / "m").version == "2"
    assert first.tags == {"retune.a": "a", "retune.key": "a"}
    assert [entry.version for entry in registry.all_versions("summarizer")] == ["2", "1"]
    assert registry.exists("summarizer", "1", run_id)
    assert not registry.exists("summarizer", "1", "another run")
    assert not registry.exists("summarizer", "9", run_id)
    with pytest.raises(BadModel, match="summarizer/9"):
        registry.by_version("summarizer", "9")


def test_a_version_without_its_files_does_not_count(run_id: str, tmp_path: Path) -> None:
    made(run_id, "a", tmp_path / "m")
    source = Path(urlparse(MlflowClient().get_model_version("summarizer", "1").source).path)
    (source / "MLmodel").unlink()
    assert registry.find("summarizer", "a") is None
    assert made(run_id, "a", tmp_path / "m").version == "2"


def test_promotion_and_the_way_back(run_id: str, tmp_path: Path) -> None:
    assert registry.by_alias("summarizer", "champion") is None
    with pytest.raises(BadInput, match="no champion"):
        registry.rollback("summarizer")
    first, second = (made(run_id, key, tmp_path / "m") for key in "ab")
    registry.promote(first)
    with pytest.raises(BadInput, match="version 1, the first"):
        registry.rollback("summarizer")
    registry.challenge(second)
    registry.promote(second)
    registry.promote(second)  # again, as after a crash
    champion = registry.by_alias("summarizer", "champion")
    assert champion is not None
    assert (champion.version, champion.aliases) == ("2", ("challenger", "champion"))
    predecessor = registry.predecessor(champion)
    assert predecessor is not None
    assert predecessor.version == "1"
    assert registry.rollback("summarizer").version == "1"
    again = registry.by_alias("summarizer", "champion")
    assert again is not None
    assert again.version == "1"
