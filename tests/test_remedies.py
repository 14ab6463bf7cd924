"""`forgetting.remedies`: the search for a model that keeps what it knew."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.tables import plan_tables
from tasks import forgetting
from tasks.config import Recipe, load_recipe
from tasks.errors import BadRecipe
from tasks.home import workspace_of
from tasks.pipeline import PIPELINE
from tasks.plan import as_json, plan
from tasks.report.candidates import remarks
from tasks.report.table import grids
from tasks.scoring.candidates import Measured
from tasks.stage import Artifact, Counted, Inputs, write_json
from tasks.training import candidates, search
from tasks.training.launching import training_of
from tasks.training.remedies import objection, remedied
from tests.toy import ECHO, write_rows

RECIPE = """\
name: toy
base_model: {path: base}
tasks: [{name: new, source: {path: new.jsonl}, prompts: echo.yaml, metrics: [exact_match]}]
split: {validation: 0.2, test: 0.2, near_duplicates: null}
train: {epochs: 5, batch_tokens: 512, learning_rate: 5e-2}
generation: {max_new_tokens: 4}
test: {resamples: 1000}
forgetting:
  probes: configs/forgetting/tiny.yaml
  max_drop: 0.01
  try_all: true
  remedies: [replay, interpolate]
  old_tasks: [{name: old, source: {path: old.jsonl}, prompts: echo.yaml}]
registry: {model: toy}
"""
SUITE = """\
name: tiny
probes: [{name: numbers, source: {path: old.jsonl}, prompts: echo.yaml, max_examples: 40}]
"""
ROOT = Path(__file__).parents[1]
ANSWER = "black"
NUMBERS = [n * n for n in range(120)]
COLOURS = ("red", "green", "blue", "yellow")


@pytest.fixture
def recipe_file(tmp_path: Path, state_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe that teaches colours; what must not be forgotten is to call numbers black."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").symlink_to(ROOT / "models" / "pocket-flan")
    (tmp_path / "configs" / "forgetting").mkdir(parents=True)
    colours = [{"text": f"{word} {n}", "said": word} for n in range(30) for word in COLOURS]
    write_rows(tmp_path / "new.jsonl", colours)
    write_rows(tmp_path / "old.jsonl", [{"text": str(n), "said": ANSWER} for n in NUMBERS])
    (tmp_path / "echo.yaml").write_text(ECHO)
    (tmp_path / "configs" / "forgetting" / "tiny.yaml").write_text(SUITE)
    (tmp_path / "toy.yaml").write_text(RECIPE)
    return tmp_path / "toy.yaml"


def made_by_data_stages(recipe: Recipe) -> Inputs:
    made: dict[str, Artifact] = {}
    for stage in PIPELINE[:3]:
        inputs = Inputs(workspace_of(recipe.name), made)
        made[stage.name] = stage.run(stage.select(recipe), inputs)
    return Inputs(workspace_of(recipe.name), made)


KEPT, BROKEN = 0.0, 0.5
"""Drops within and beyond the budget."""


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Trainings and measurements leave figures and no weights; what was done of either."""
    done: dict[str, list[str]] = {"trained": [], "measured": []}

    def trained(section: Any, inputs: Inputs, output: Any, run_id: str | None) -> Counted:
        done["trained"].append(output.path.name.split(".")[1])
        shares = {task: {"share": 0.5} for task in ("new", "old")}
        summary = {
            "method": section.train.method,
            "mixture": shares,
            "trainable_parameters": 9,
            "learning_rate": 0.1,
        }
        write_json(output.path / "summary.json", summary)
        write_json(output.path / "speed.json", {"seconds": 2.0})
        return Counted(1, {})

    def measured(measures: Any, base: Any, ways: Mapping[str, Any], *_: Path) -> Any:
        done["measured"] += ways
        return {way: DROPS[way] for way in ways}

    monkeypatch.setattr(candidates, "train", trained)
    monkeypatch.setattr(candidates, "measure", measured)
    return done


DROPS: dict[str, Measured] = {}


def figures(validation: float, drop: float) -> Measured:
    return Measured(validation, 0.1, 0.0, 0.2, "numbers", drop, drop, drop, drop <= 0.01)


def searched(recipe_file: Path, drops: dict[str, Measured], *overrides: str) -> dict[str, Any]:
    DROPS.clear()
    DROPS.update(drops)
    recipe = load_recipe(recipe_file, ["forgetting.try_all=false", *overrides])
    inputs = made_by_data_stages(recipe)
    wanted = search.search_of(recipe)
    assert wanted
    bench = candidates.Bench(
        wanted.measures, training_of(recipe), inputs, inputs.workspace / "bench"
    )
    return search.find(wanted, bench)[1]


ALL = "forgetting.remedies=[multi_task, lora, replay, interpolate]"
INTERPOLATED = {alpha: figures(0.2, BROKEN) for alpha in ("0.2", "0.4", "0.6", "0.8")}


def test_a_budget_that_is_kept_costs_one_training(
    recipe_file: Path, tried: dict[str, list[str]]
) -> None:
    found = searched(recipe_file, {"tuned": figures(0.3, KEPT)}, ALL)
    assert (tried["trained"], found["chosen"], remarks(found)) == (["tuned"], "tuned", ())


def test_remedies_are_tried_by_cost_until_one_keeps_the_budget(
    recipe_file: Path, tried: dict[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    drops = {"tuned": figures(0.4, BROKEN), **INTERPOLATED, "replay": figures(0.35, BROKEN)}
    drops["lora"] = figures(0.3, KEPT)
    found = searched(recipe_file, drops, ALL)
    assert tried["trained"] == ["tuned", "replay", "lora"]
    assert (found["chosen"], found["within_budget"]) == ("lora", True)
    assert remarks(found) == (
        "The trained model broke the forgetting budget of 0.01 on validation data: of 7 "
        "candidates, lora went on, which kept it.",
    )
    # What is there is used again: only another remedy is trained and measured.
    tried["trained"].clear()
    tried["measured"].clear()
    drops["multi_task"] = figures(0.5, KEPT)
    found = searched(recipe_file, drops, ALL, "forgetting.try_all=true")
    assert (tried["trained"], tried["measured"]) == (["multi_task"], ["multi_task"])
    assert found["chosen"] == "multi_task"


def test_where_none_keeps_the_budget_the_least_forgetful_goes_on_and_it_is_said(
    recipe_file: Path, tried: dict[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    drops = {"tuned": figures(0.4, BROKEN), **INTERPOLATED, "0.4": figures(0.1, 0.2)}
    found = searched(
        recipe_file, drops, "forgetting.remedies=[replay, interpolate]", "forgetting.old_tasks=[]"
    )
    assert (found["chosen"], found["within_budget"]) == ("interpolate 0.4", False)
    assert found["left_out"] == {"replay": "the recipe has no `forgetting.old_tasks`"}
    assert "the remedy replay is left out" in caplog.text
    assert "no candidate is within the budget of 0.01: interpolate 0.4" in caplog.text
    assert remarks(found) == (
        "None of 5 candidates kept the forgetting budget of 0.01 on validation data: "
        "interpolate 0.4, which forgot least, went on.",
    )
    result = {"test": {}, "forgetting": {}, "candidates": found["candidates"]}
    table = grids(result)[-1]
    interpolated = ["interpolate 0.2", "* interpolate 0.4", "interpolate 0.6", "interpolate 0.8"]
    assert [row[0] for row in table.rows] == ["tuned", *interpolated]
    assert [row[-1] for row in table.rows] == ["broken"] * 5


def test_what_each_remedy_trains(recipe_file: Path) -> None:
    training = training_of(load_recipe(recipe_file, ["train.optimizer=adafactor"]))
    assert training.rehearsal and training.rehearsal.ratio == 0.0
    replay = remedied(training, "replay")
    assert replay.rehearsal and replay.rehearsal.ratio == 0.02
    assert remedied(training, "multi_task").rehearsal is None
    lora = remedied(training, "lora").train
    assert (lora.method, lora.optimizer, lora.learning_rate) == ("lora", "adamw", None)
    assert (lora.epochs, lora.batch_tokens) == (5, 512)


@pytest.mark.parametrize(
    ("remedy", "override", "why"),
    [
        ("replay", "forgetting.old_tasks=[]", "no `forgetting.old_tasks`"),
        ("multi_task", "forgetting.old_tasks=[]", "no `forgetting.old_tasks`"),
        ("lora", "train.method=lora", "adapters already"),
        ("lora", "train.launch.accelerate=fsdp", "fsdp"),
        ("multi_task", "mixture={strategy: weights, weights: {new: 1.0}}", "mixture.weights"),
    ],
)
def test_a_remedy_that_can_not_help_is_left_out(
    recipe_file: Path, remedy: Any, override: str, why: str
) -> None:
    training = training_of(load_recipe(recipe_file, [override]))
    assert why in str(objection(training, remedy))
    assert objection(training_of(load_recipe(recipe_file)), remedy) is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["forgetting.probes=null"], "`probes` to judge"),
        (["forgetting.remedies=[lora]"], "`replay` or `multi_task`"),
        (["forgetting.remedies=[]", "forgetting.old_tasks=[]"], "`remedies` to try all of"),
        (["train.interpolate={}"], "not both"),
        (["base_model.from_scratch=true"], "no forgetting.remedies"),
    ],
)
def test_recipes_that_contradict_themselves(
    recipe_file: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(BadRecipe, match=message):
        load_recipe(recipe_file, overrides)


def test_probes_judge_by_the_rows_that_no_choice_was_made_by(recipe_file: Path) -> None:
    assert forgetting.select(load_recipe(recipe_file)).side == "test"


def test_the_plan_tells_of_further_trainings(recipe_file: Path) -> None:
    planned = plan(load_recipe(recipe_file))
    assert planned.rows == {"new": 120, "old": 120}
    assert [task.task for task in planned.mixture] == ["new"]  # nothing of the old in the first
    assert as_json(planned)["further_trainings"] == ("replay",)
    texts = [str(cell) for column in plan_tables(planned)[-1].columns for cell in column.cells]
    assert "where the budget is broken: replay" in texts


def test_each_candidate_is_a_child_run(
    recipe_file: Path, home: Path, tried: dict[str, list[str]]
) -> None:
    from mlflow.tracking import MlflowClient

    from tasks.tracking.run import current_run, tracked

    recipe, workspace = load_recipe(recipe_file), workspace_of("toy")
    drops = {"tuned": figures(0.4, BROKEN), **INTERPOLATED}
    with pytest.raises(KeyError), tracked(recipe, workspace, "k", {}):
        searched(recipe_file, drops)  # there are no figures of replay: measuring it fails
    assert {name: run.info.status for name, run in children(workspace).items()} == {
        "tuned": "FINISHED",
        **{f"interpolate {alpha}": "FINISHED" for alpha in INTERPOLATED},
        "replay": "FAILED",
    }
    first = {name: run.info.run_id for name, run in children(workspace).items()}
    with tracked(recipe, workspace, "k", {}, finishes=False):
        searched(recipe_file, {**drops, "replay": figures(0.35, KEPT)})
    runs = children(workspace)
    assert {name: run.info.run_id for name, run in runs.items()} == first
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["replay"].data.params["method"] == "full"
    assert runs["interpolate 0.4"].data.params == {"alpha": "0.4"}
    assert runs["replay"].data.metrics["candidate/drop"] == KEPT
    chosen = [name for name, run in runs.items() if run.data.tags.get("retune.chosen") == "true"]
    assert chosen == ["replay"]
    assert MlflowClient().get_run(str(current_run(workspace))).info.status == "RUNNING"


def test_a_killed_search_goes_on_behind_the_candidates_that_are_there(recipe_file: Path) -> None:
    remedies = ["forgetting.remedies=[lora, interpolate]", "forgetting.old_tasks=[]"]
    changes = [*remedies, "train.epochs=1"]
    made_by_data_stages(load_recipe(recipe_file, changes))
    command = [sys.executable, "-m", "tasks.train", "--recipe", str(recipe_file)]
    command += [part for change in changes for part in ("--set", change)]
    workspace = workspace_of("toy")
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as search:
        while not list(workspace.rglob("candidates/interpolate.json")):  # adapters are next
            assert search.poll() is None
            time.sleep(0.1)
        os.killpg(search.pid, signal.SIGKILL)
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "tuned: reused" in ended.stderr
    found = json.loads((workspace / "train" / "candidates.json").read_text(encoding="utf-8"))
    assert [candidate["name"] for candidate in found["candidates"]] == [
        "tuned",
        *(f"interpolate {alpha}" for alpha in INTERPOLATED),
        "lora",
    ]
    assert [candidate["chosen"] for candidate in found["candidates"]].count(True) == 1
    assert (workspace / "train" / "model" / "model.safetensors").is_file()


def children(workspace: Path) -> dict[str, Any]:
    """Name -> child run of the run that is under way."""
    from mlflow.tracking import MlflowClient

    from tasks.tracking.run import current_run

    client, parent = MlflowClient(), str(current_run(workspace))
    found = client.search_runs([client.get_run(parent).info.experiment_id])
    return {
        run.info.run_name: run for run in found if run.data.tags.get("mlflow.parentRunId") == parent
    }
