"""`forgetting.remedies`: the search for a model that keeps what it knew, in the real train stage."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tasks import forgetting, train
from tasks.config import Recipe, load_recipe
from tasks.errors import BadRecipe
from tasks.home import workspace_of
from tasks.pipeline import PIPELINE
from tasks.stage import Artifact, Inputs
from tasks.training.remedies import objection, remedied
from tests.toy import ECHO, WORDS

RECIPE = """\
name: toy
base_model: {path: BASE}
tasks: [{name: new, source: {path: new.jsonl}, prompts: FOLDER/echo.yaml}]
split: {validation: 0.2, test: 0.2, near_duplicates: null}
train: {epochs: 3, batch_tokens: 512, learning_rate: 1e-2}
generation: {max_new_tokens: 4}
test: {resamples: 1000}
forgetting:
  probes: FOLDER/configs/forgetting/tiny.yaml
  max_drop: 0.0
  remedies: [multi_task, replay, interpolate]
  old_tasks: [{name: old, source: {path: old.jsonl}, prompts: FOLDER/echo.yaml}]
registry: {model: toy}
"""
SUITE = """\
name: tiny
probes:
  - {name: probe, source: {path: old.jsonl}, prompts: FOLDER/echo.yaml, max_examples: 20,
     metrics: [inverse_perplexity]}
"""


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture
def recipe_file(
    tmp_path: Path, home: Path, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A recipe whose task teaches a model to name colours; the probe expects numbers of it."""
    (tmp_path / "configs" / "forgetting").mkdir(parents=True)
    (tmp_path / "echo.yaml").write_text(ECHO)
    colours = [{"text": f"{word} {n}", "said": word} for n in range(20) for word in WORDS]
    numbers = [{"text": f"{n * n}", "said": f"{n * 37 % 1000}"} for n in range(120)]
    write_rows(tmp_path / "new.jsonl", colours)
    write_rows(tmp_path / "old.jsonl", numbers)
    for name, text in (("toy.yaml", RECIPE), ("configs/forgetting/tiny.yaml", SUITE)):
        filled = text.replace("BASE", str(tiny_models["t5"])).replace("FOLDER", str(tmp_path))
        (tmp_path / name).write_text(filled)
    return tmp_path / "toy.yaml"


def made_by_data_stages(recipe: Recipe) -> Inputs:
    made: dict[str, Artifact] = {}
    for stage in PIPELINE[:3]:
        inputs = Inputs(workspace_of(recipe.name), made)
        made[stage.name] = stage.run(stage.select(recipe), inputs)
    return Inputs(workspace_of(recipe.name), made)


def test_x(recipe_file: Path, caplog):
    caplog.set_level("INFO", "retune")
    recipe = load_recipe(recipe_file, ["forgetting.try_all=true"])
    inputs = made_by_data_stages(recipe)
    t=time.time()
    artifact = train.run(train.select(recipe), inputs)
    print(time.time()-t)
    print((artifact.path/"candidates.json").read_text())
    print(caplog.text)
    assert 0
