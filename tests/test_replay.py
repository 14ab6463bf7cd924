"""`train.replay`: old tasks go through the data stages into training, and nowhere else."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.tables import plan_tables
from tasks import train
from tasks.config import Mixture, Recipe, load_recipe
from tasks.data.mixing import Rehearsal, draws_per_epoch
from tasks.errors import BadRecipe
from tasks.home import workspace_of
from tasks.pipeline import PIPELINE
from tasks.plan import plan
from tasks.stage import Artifact, Inputs
from tests.toy import ECHO, WORDS, write_rows

RECIPE = """\
name: toy
base_model: {path: BASE}
tasks: [{name: new, source: {path: new.jsonl}, prompts: FOLDER/echo.yaml}]
split: {validation: 0.2, test: 0.2, near_duplicates: null}
train:
  epochs: 1
  batch_tokens: 1024
  replay:
    ratio: 0.1
    tasks:
      - {name: old, source: {path: old.jsonl}, prompts: FOLDER/echo.yaml}
      - {name: older, source: {path: older.jsonl, split_column: side}, prompts: FOLDER/echo.yaml}
forgetting: {probes: FOLDER/configs/forgetting/tiny.yaml}
registry: {model: toy}
"""
SUITE = """\
name: tiny
probes: [{name: probe, source: {path: old.jsonl}, prompts: FOLDER/echo.yaml, max_examples: 3}]
"""


def said(name: str, count: int) -> list[dict[str, str]]:
    return [{"text": f"{name} {word} {n}", "said": word} for n in range(count) for word in WORDS]


@pytest.fixture
def recipe_file(
    tmp_path: Path,
    state_home: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "forgetting").mkdir(parents=True)
    (tmp_path / "echo.yaml").write_text(ECHO)
    write_rows(tmp_path / "new.jsonl", said("new", 30))
    write_rows(tmp_path / "old.jsonl", said("old", 4))
    sides = ["train", "test"]
    older = [row | {"side": sides[n % 2]} for n, row in enumerate(said("older", 5))]
    write_rows(tmp_path / "older.jsonl", older)
    for name, text in (("toy.yaml", RECIPE), ("configs/forgetting/tiny.yaml", SUITE)):
        filled = text.replace("BASE", str(tiny_models["t5"])).replace("FOLDER", str(tmp_path))
        (tmp_path / name).write_text(filled)
    return tmp_path / "toy.yaml"


def made_by_data_stages(recipe: Recipe) -> dict[str, Artifact]:
    made: dict[str, Artifact] = {}
    for stage in PIPELINE[:3]:
        inputs = Inputs(workspace_of(recipe.name), made)
        made[stage.name] = stage.run(stage.select(recipe), inputs)
    return made


def rows_of(artifact: Artifact, side: str) -> dict[str, list[str]]:
    tasks: dict[str, list[str]] = {}
    for row in pq.read_table(artifact.path / f"{side}.parquet").to_pylist():
        tasks.setdefault(row["task"], []).append(row["prompt"])
    return tasks


def test_old_tasks_are_trained_on_and_not_judged_by(recipe_file: Path) -> None:
    made = made_by_data_stages(load_recipe(recipe_file))
    split = made["split"]
    assert set(rows_of(split, "train")) == {"new", "old", "older"}
    assert set(rows_of(split, "validation")) == set(rows_of(split, "test")) == {"new"}
    # Of 24 rows, the probe measures on 3; of 30, half are their source's test rows.
    assert len(rows_of(split, "train")["old"]) == 24 - 3
    assert len(rows_of(split, "train")["older"]) == 15
    kept = {path.stem for path in (made["template"].path / "prompts").iterdir()}
    assert kept == {"new"}


def test_rows_that_a_probe_measures_on_stay_out(recipe_file: Path, tmp_path: Path) -> None:
    from tasks.scoring.probes import examples_of, load_suite

    recipe = load_recipe(recipe_file)
    rehearsed = set(rows_of(made_by_data_stages(recipe)["split"], "train")["old"])
    [probe] = load_suite(str(recipe.forgetting.probes))
    measured = {example["prompt"] for example in examples_of(probe, None, tmp_path)}
    assert len(measured) == 3 and not measured & rehearsed
    # Without probes, nothing has to stay out.
    free = load_recipe(recipe_file, ["forgetting.probes=null"])
    assert len(rows_of(made_by_data_stages(free)["split"], "train")["old"]) == 24


def test_the_plan_has_them_in_its_mixture(recipe_file: Path) -> None:
    planned = plan(load_recipe(recipe_file))
    assert planned.rows == {"new": 180, "old": 24, "older": 30}
    shares = {task.task: (task.replay, task.share) for task in planned.mixture}
    assert [replay for replay, _ in shares.values()] == [False, True, True]
    assert shares["old"][1] == shares["older"][1] == pytest.approx(0.05, abs=0.01)
    mixture = plan_tables(planned)[1]
    assert list(mixture.columns[0].cells) == ["new", "old (replay)", "older (replay)"]


def test_training_draws_their_share(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = load_recipe(recipe_file)
    made = made_by_data_stages(recipe)
    _without_mlflow(monkeypatch)
    caplog.set_level("INFO", "retune")
    inputs = Inputs(workspace_of(recipe.name), made)
    artifact = train.run(train.select(recipe), inputs)
    mixture = json.loads((artifact.path / "summary.json").read_text())["mixture"]
    drawn = {task: entry["draws"] for task, entry in mixture.items()}
    assert (drawn["old"] + drawn["older"]) / sum(drawn.values()) == pytest.approx(0.1, abs=0.01)
    assert [task for task, entry in mixture.items() if entry["replay"]] == ["old", "older"]
    assert f"old (replay): {drawn['old']} draws an epoch of 21 rows" in caplog.text
    # Where the rows lie is no part of what the training is known by.
    manifest = (artifact.path / "manifest.json").read_text()
    assert "old.jsonl" not in manifest


def _without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about the mixture: what training reports goes nowhere."""
    from contextlib import nullcontext

    class Journal:
        def metrics(self, *_: Any) -> None: ...

    monkeypatch.setattr("tasks.tracking.journal.follow", lambda *_: nullcontext(Journal()))
    monkeypatch.setattr("tasks.tracking.run.current_run", lambda _: "run")
    monkeypatch.setattr("tasks.tracking.system.system_metrics", lambda _: nullcontext())


def test_names_must_differ(recipe_file: Path) -> None:
    with pytest.raises(BadRecipe, match="task names that differ"):
        load_recipe(recipe_file, ["train.replay.tasks.0.name=new"])


def test_draws() -> None:
    rows = {"new": 9000, "other": 1000, "old": 50, "older": 4000, "empty": 0}
    rehearsal = Rehearsal(ratio=0.02, tasks=("old", "older", "empty"))
    draws = draws_per_epoch(rows, Mixture(strategy="equal", cap=3000), rehearsal)
    assert draws == {"new": 2000, "other": 2000, "old": 41, "older": 41}
    weighted = Mixture(strategy="weights", weights={"new": 1.0, "other": 1.0})
    assert draws_per_epoch(rows, weighted, rehearsal)["old"] == 102
