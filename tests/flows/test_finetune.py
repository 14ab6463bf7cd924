"""The flow from end to end, with the real stages' names, versions and needs but toy work."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

import flows.finetune
import flows.standing
from flows.finetune import finetune
from flows.stage_task import as_task
from tasks.errors import BadData, BadRecipe, BadWorkspace
from tasks.home import workspace_of
from tasks.lock import workspace_lock
from tasks.pipeline import PIPELINE
from tasks.stage import Counted
from tasks.tracking.connection import connect
from tasks.tracking.registry import Version
from tasks.tracking.run import read_run
from tests.toy import STAGES

pytestmark = pytest.mark.usefixtures("prefect_server")

NAME = "talk-toy"

RESULT = {
    "recipe": NAME,
    "model": "talker",
    "version": 1,
    "test": {"tuned": {"rougeL": {"value": 0.4, "low": 0.3, "high": 0.5, "n": 9}}},
    "forgetting": {},
    "decision": {"promote": False, "reasons": ["nothing was measured"]},
    "report": "report.html",
}


def write_recipe(folder: Path, seed: int = 7) -> str:
    path = folder / "talk.yaml"
    path.write_text(
        f"name: {NAME}\n"
        "base_model: {path: models/none}\n"
        "tasks: [{name: talk, source: {path: none.jsonl}, prompts: plain}]\n"
        f"split: {{seed: {seed}}}\n"
        "registry: {model: talker}\n"
    )
    return str(path)


@pytest.fixture
def written(tmp_path, monkeypatch, toy_stage):
    """Have the flow run toy work; the names of the stages whose work was done, in order."""
    monkeypatch.setenv("RETUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    done: list[str] = []

    def write(stage, section, inputs, output):
        done.append(stage.name)
        if section.text == "three":
            raise BadData("none.jsonl:3", "a text", "nothing")
        (output.path / "result.json").write_text(json.dumps(RESULT))
        assert all(inputs[needed].is_dir() for needed in stage.needs)
        return Counted(1, {})

    def select(stage, recipe):
        text = "three" if (stage.name, recipe.split.seed) == ("split", 3) else stage.name
        return toy_stage("x").select(recipe).model_copy(update={"text": text})

    toys = tuple(
        replace(
            stage,
            write=partial(write, stage),
            select=partial(select, stage),
            files=lambda section: {},
            is_current=lambda artifact: True,
        )
        for stage in PIPELINE
    )
    for toy in toys:
        monkeypatch.setattr(flows.finetune.stages, toy.name, as_task(toy, timeout_s=60))
    version = Version("talker", "1", "5d41", 0.0, "models/m-1", ("challenger",), {})
    monkeypatch.setattr(flows.standing, "by_version", lambda model, number: version)
    monkeypatch.setattr("tasks.pipeline.PIPELINE", toys)
    return done


def test_all_stages_run_in_order_and_are_reused(written, tmp_path):
    path = write_recipe(tmp_path)
    first = finetune(path)
    assert written == list(STAGES)
    assert list(first["stages"]) == list(STAGES)
    assert {values["state"] for values in first["stages"].values()} == {"ran"}
    assert (first["model"], first["version"]) == ("talker", 1)
    run = read_run(workspace_of(NAME))
    assert run and run.finished
    assert connect().get_run(run.run_id).info.status == "FINISHED"

    again = finetune(path)
    assert written == list(STAGES)
    assert {values["state"] for values in again["stages"].values()} == {"reused"}
    experiment = connect().get_experiment_by_name(NAME)
    assert len(connect().search_runs([experiment.experiment_id])) == 1
    assert "talker version 1: not promoted" in shown_in_prefect("result-talk-toy")
    assert "| rougeL | 0.400 (0.300-0.500) |" in shown_in_prefect("result-talk-toy")
    figures = [{"metric": "rougeL", "tuned": "0.400 (0.300-0.500)"}]
    assert json.loads(shown_in_prefect("test-talk-toy")) == figures
    states = json.loads(shown_in_prefect("stages-talk-toy"))
    assert [(row["stage"], row["state"]) for row in states] == [(s, "reused") for s in STAGES]


def test_bad_input_fails_the_run_and_the_next_goes_on_with_it(written, tmp_path):
    path = write_recipe(tmp_path)
    with pytest.raises(BadData) as raised:
        finetune(path, ["split.seed=3"])
    assert raised.value.issues[0].where == "none.jsonl:3"
    assert written == ["ingest", "template", "split"]
    failed = read_run(workspace_of(NAME))
    assert connect().get_run(failed.run_id).info.status == "FAILED"

    with pytest.raises(BadData):
        finetune(path, ["split.seed=3"])
    assert read_run(workspace_of(NAME)).run_id == failed.run_id

    assert finetune(path)["stages"]["ingest"]["state"] == "reused"
    assert read_run(workspace_of(NAME)).run_id != failed.run_id


def test_what_cannot_run_is_told_before_anything_starts(written, tmp_path):
    with pytest.raises(BadRecipe, match="did you mean `seed`"):
        finetune(write_recipe(tmp_path), ["split.sed=3"])
    with workspace_lock(workspace_of(NAME)), pytest.raises(BadWorkspace, match="held by process"):
        finetune(write_recipe(tmp_path))
    assert written == []


def shown_in_prefect(key: str) -> str:
    """What the newest artifact of this key says."""
    with get_client(sync_client=True) as client:
        found = [artifact for artifact in client.read_artifacts() if artifact.key == key]
    return max(found, key=lambda artifact: artifact.created).data
