"""Which metrics a task is measured by."""

import json
from typing import Any

import pytest

from tasks import forgetting, holdout, validate
from tasks.config import Forgetting, Recipe
from tasks.errors import BadRecipe


def recipe(**changes: Any) -> Recipe:
    content = {
        "name": "r",
        "base_model": {"path": "models/x"},
        "tasks": [{"name": "t", "source": {"path": "x"}, "prompts": "dialogue_summary"}],
        "registry": {"model": "m"},
    }
    return Recipe.model_validate_json(json.dumps(content | changes))


def test_metrics_follow_the_kind_of_task() -> None:
    chosen = ("rougeL", "rouge1", "rouge2", "fabrication", "omission")
    assert validate.select(recipe()).metrics == {"t": chosen}
    tasks = [{"name": "t", "source": {"path": "x"}, "prompts": "dates", "metrics": ["chrf"]}]
    assert holdout.select(recipe(tasks=tasks)).metrics == {"t": ("chrf",)}
    tasks[0]["metrics"] = ["rogueL"]
    with pytest.raises(BadRecipe, match="did you mean rougeL"):
        holdout.select(recipe(tasks=tasks))
    assert forgetting.select(recipe()).probes == Forgetting().probes
