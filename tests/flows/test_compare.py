"""The comparison from end to end: real stages, trainings and scores of a tiny model."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tasks.gpus
import tasks.launch
import tasks.scoring.job
import tasks.train
import tasks.training.launching
from tasks.compare.ways import Way
from tasks.config.train import Launch
from tasks.errors import BadInput
from tasks.gpus import check_open, environment_of_room, rooms_for
from tasks.stage import read_json
from tests.toy import WORDS

PROMPTS = """\
name: echo
version: 1
task: question_answering
slots: [text]
target: said
example: {text: red, said: red}
templates:
  - {name: plain, prompt: "Say the colour {{ text }} again"}
  - {name: short, prompt: "Again: {{ text }}"}
  - {name: new, prompt: "Colour: {{ text }}", heldout: true}
"""
SUITE = """\
name: tiny
probes: [{name: probe, source: {path: FOLDER/old.jsonl}, prompts: FOLDER/echo.yaml,
          max_examples: 24}]
"""
RECIPE = """\
name: toy
base_model: {path: BASE}
tasks: [{name: new, source: {path: FOLDER/new.jsonl}, prompts: FOLDER/echo.yaml}]
split: {validation: 0.1, test: 0.1, near_duplicates: null}
train: {epochs: 1, batch_tokens: 512, interpolate: {alphas: [0.5]}}
test: {resamples: 1000, few_shot_examples: 2}
generation: {max_new_tokens: 4}
forgetting: {probes: FOLDER/tiny.yaml}
registry: {model: toy}
"""
KEYS = {
    *("gain", "low", "high", "worst_forgetting", "seconds", "peak_memory_bytes"),
    *("trainable_parameters", "tokens_per_request"),
}


@pytest.fixture
def recipe(home: Path, tmp_path: Path, tiny_models: dict[str, Path]) -> Path:
    def rows(name: str, count: int) -> str:
        said = [
            {"text": f"{name} {word} {n}", "said": word} for n in range(count) for word in WORDS
        ]
        return "\n".join(map(json.dumps, said))

    texts = {
        "echo.yaml": PROMPTS,
        "tiny.yaml": SUITE,
        "toy.yaml": RECIPE,
        "new.jsonl": rows("new", 30),
        "old.jsonl": rows("old", 10),
    }
    for name, text in texts.items():
        filled = text.replace("FOLDER", str(tmp_path)).replace("BASE", str(tiny_models["t5"]))
        (tmp_path / name).write_text(filled)
    return tmp_path / "toy.yaml"


@pytest.fixture
def launched(forked_children: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was launched, and on which GPUs."""
    commands: list[str] = []

    def launch(module: str, *args: Any) -> None:
        commands.append(" ".join((module, *environment_of_room().values())))
        tasks.launch.launch(module, *args[:3])  # in one process, however many GPUs there are

    for module in (tasks.train, tasks.training.launching, tasks.scoring.job):
        monkeypatch.setattr(module, "launch", launch)
    return commands


@pytest.mark.usefixtures("prefect_server")
def test_a_way_that_fails_ends_the_others_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect import flow

    from flows.compare import _train, steps

    def train(way: Way, *given: Any) -> None:
        if way.name == "fails":
            raise BadInput("a way", "one that can be trained", "another")
        while time.monotonic() < deadline:
            check_open()
            time.sleep(0.1)

    @flow
    def trains() -> None:
        with rooms_for(Launch()) as rooms:
            own: Any = None
            _train([(Way(name, own), own) for name in ("goes on", "fails")], Path(), "r", rooms)

    monkeypatch.setattr(steps, "train_way", train)
    monkeypatch.setattr(tasks.gpus, "visible_gpus", lambda: ("0", "1"))
    deadline = time.monotonic() + 30.0
    with pytest.raises(BadInput, match="one that can be trained"):
        trains()
    assert time.monotonic() < deadline


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code
def test_every_way_is_trained_once_and_all_are_measured(
    recipe: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.compare import compare
    from tasks.tracking.connection import connect

    monkeypatch.setattr(tasks.training.launching, "has_gpu", lambda: False)  # torch finds none
    with monkeypatch.context() as two_gpus:
        two_gpus.setattr(tasks.gpus, "visible_gpus", lambda: ("0", "1"))
        found = compare(str(recipe))
    trained = ["full", "lora", "multi_task", "replay", "interpolated"]
    assert list(found["ways"]) == ["zero_shot", "one_shot", "few_shot", *trained]
    assert all(set(way) >= KEYS for way in found["ways"].values())
    assert found["left_out"] == {}
    # interpolated takes what full has trained; the curve has one part of 144 rows, 125 of them.
    trainings = [process for process in launched if process.startswith("tasks.training ")]
    assert len(trainings) == 6 and {process[-1] for process in trainings} == {"0", "1"}
    assert [point["examples"] for point in found["learning_curve"]][0] == 125
    steps = {found["ways"][way]["steps"] for way in trained}
    assert len(steps) == 1 and steps.pop() > 1
    weights = {name: way["trainable_parameters"] for name, way in found["ways"].items()}
    assert weights["zero_shot"] == 0 < weights["lora"] < weights["full"] == weights["replay"]
    assert found["ways"]["few_shot"]["tokens_per_request"] > weights["zero_shot"]
    assert len(found["claims"]) == 6 and found["phrasings"] is not None
    assert read_json(Path(found["report"]).parent / "comparison.json") == found
    assert "zero_shot" in Path(found["report"]).read_text()

    # Rows that the probe measures on are in nobody's training split.
    folder = Path(found["report"]).parent
    lines = (folder / "probes" / "predictions.jsonl").read_text().splitlines()
    probed = {json.loads(line)["id"] for line in lines}
    seen = pq.read_table(folder / "old" / "split" / "train.parquet").to_pylist()
    old = {row["id"] for row in seen if row["task"] == "old-probe"}
    assert len(probed) > 5 and len(old) == 60 - 24 and not probed & old

    # A child run for each way, with its figures; the page lies with the parent.
    client = connect()
    parent = client.get_run(found["run_id"])
    query = f"tags.`mlflow.parentRunId` = '{found['run_id']}'"
    children = client.search_runs([parent.info.experiment_id], query)
    by_name = {run.data.tags["mlflow.runName"]: run for run in children}
    assert set(by_name) == {*found["ways"], "full_125", "one_phrasing"}
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert by_name["full_125"].data.metrics["gain"] == found["learning_curve"][0]["gain"]
    assert by_name["lora"].data.metrics["gain"] == found["ways"]["lora"]["gain"]
    assert [file.path for file in client.list_artifacts(found["run_id"])] == ["comparison.html"]

    # Again, and on one device: nothing is made anew, and it is the same comparison and run.
    launched.clear()
    again = compare(str(recipe))
    assert launched == []
    assert again | {"seconds": 0.0} == found | {"seconds": 0.0}
