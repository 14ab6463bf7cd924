"""One MLflow run for one key, whatever happens in between."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tasks.tracking.run import (
    DataInput,
    current_run,
    fail_run,
    finish_run,
    flatten,
    log_file,
    log_inputs,
    log_metrics,
    open_run,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

RECIPE: dict[str, Any] = {"train": {"epochs": 3}, "tasks": [{"name": "chat"}]}


def opened(workspace: Path, key: str = "k") -> str:
    return open_run(workspace, "chat", key, RECIPE, {"who": "me"})


def all_runs(home: Path) -> list[Any]:
    client = MlflowClient()
    return list(client.search_runs([e.experiment_id for e in client.search_experiments()]))


def test_the_same_key_goes_on_with_the_same_run(home: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    first = opened(workspace)
    assert current_run(workspace) == first
    fail_run(workspace)
    assert MlflowClient().get_run(first).info.status == "FAILED"
    assert opened(workspace) == first
    assert MlflowClient().get_run(first).info.status == "RUNNING"
    finish_run(workspace)
    assert current_run(workspace) is None
    run = MlflowClient().get_run(first)
    assert (run.info.status, run.data.tags["who"]) == ("FINISHED", "me")
    assert run.data.params == {"train.epochs": "3", "tasks.0.name": "chat"}
    assert opened(workspace) == first
    assert len(all_runs(home)) == 1


def test_another_key_or_a_deleted_run_means_a_new_one(home: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    first = opened(workspace)
    second = opened(workspace, "other")
    MlflowClient().delete_run(second)
    third = opened(workspace, "other")
    assert len({first, second, third}) == 3


def test_a_crash_before_the_id_is_written_leaves_one_run(home: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    first = opened(workspace)
    path = workspace / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"run_id": None}))
    assert opened(workspace) == first


def test_what_a_run_holds(home: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    run_id = opened(workspace)
    log_metrics(run_id, {"test/tuned/rougeL": 0.34})
    data = DataInput("chat/train", "a" * 64, tmp_path / "train.parquet", 800, "training")
    log_inputs(run_id, [data])
    log_inputs(run_id, [data])
    (tmp_path / "note.txt").write_text("hello")
    log_file(run_id, tmp_path / "note.txt", "test")
    run = MlflowClient().get_run(run_id)
    assert run.data.metrics == {"test/tuned/rougeL": 0.34}
    [given] = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("chat/train", "a" * 36)
    assert json.loads(given.dataset.profile) == {"num_rows": 800}
    assert [tag.value for tag in given.tags] == ["training"]
    assert list((home / "mlartifacts" / "chat").rglob("test/note.txt"))


def test_a_long_recipe_and_odd_names(home: Path, tmp_path: Path) -> None:
    values = {"label": {f"class {number}?": "x" for number in range(150)}}
    run_id = open_run(tmp_path / "ws", "chat", "k", values, {})
    params = MlflowClient().get_run(run_id).data.params
    assert len(params) == 150
    assert params["label.class 7_"] == "x"


def test_flatten() -> None:
    nested = {"a": {"b": [1, {"c": None}], "empty": {}}, "d": True}
    assert flatten(nested) == {"a.b.0": "1", "a.b.1.c": "None", "a.empty": "{}", "d": "True"}
    assert flatten({}) == {}
