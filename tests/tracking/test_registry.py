"""Versions, aliases, and the way back."""

from pathlib import Path
from urllib.parse import urlparse

import pytest
from mlflow.tracking import MlflowClient

from tasks.errors import BadModel
from tasks.tracking import registry
from tasks.tracking.reference import weights_of
from tasks.tracking.serving import load
from tests.tracking.conftest import Made

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code


def test_the_same_key_is_registered_once(run_id: str, made: Made) -> None:
    assert registry.find("summarizer", "a") is None
    first = made("a")
    assert made("a").version == first.version == "1"
    assert made("b").version == "2"
    assert first.tags == {"retune.a": "a", "retune.key": "a"}
    assert [entry.version for entry in registry.all_versions("summarizer")] == ["2", "1"]
    assert registry.exists("summarizer", "1", run_id)
    assert not registry.exists("summarizer", "1", "another run")
    assert not registry.exists("summarizer", "9", run_id)
    with pytest.raises(BadModel, match="summarizer/9"):
        registry.by_version("summarizer", "9")


@pytest.mark.parametrize(("model", "alias"), [("a/b", "c"), ("summarizer", "c")])
def test_what_cannot_be_there_is_not_there(home: Path, model: str, alias: str) -> None:
    assert registry.by_alias(model, alias) is None


def test_what_no_search_or_database_takes_is_not_there(home: Path) -> None:
    assert registry.all_versions("a'b") == []
    with pytest.raises(BadModel, match="a registered version"):
        registry.by_version("summarizer", "9" * 23)


def test_a_version_without_its_files_does_not_count(
    run_id: str, made: Made, tmp_path: Path
) -> None:
    version = made("a")
    source = Path(urlparse(MlflowClient().get_model_version("summarizer", "1").source).path)
    (source / "MLmodel").unlink()
    assert registry.find("summarizer", "a") is None
    with pytest.raises(BadModel, match="the files of a version"):
        load(version)
    with pytest.raises(BadModel, match="retrain.start_from"):
        weights_of(version, tmp_path / "weights")
    assert made("a").version == "2"
