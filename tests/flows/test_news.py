"""What a retraining pins: every hub data set of its recipe, those of old tasks too."""

import json
from typing import Any

import pytest

import flows.news
from tasks.config import Recipe

OLD = {"name": "old", "source": {"hub": "shop/old", "revision": "main"}, "prompts": "plain"}
FORMS: dict[str, dict[str, Any]] = {
    "train.replay.tasks": {"train": {"replay": {"tasks": [OLD]}}},
    "forgetting.old_tasks": {"forgetting": {"remedies": ["replay"], "old_tasks": [OLD]}},
}


@pytest.mark.parametrize("key", FORMS)
def test_every_hub_data_set_is_pinned(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.news, "newest_commit", lambda hub, revision: f"{hub}@{revision}")
    own = {"name": "new", "source": {"hub": "shop/new", "revision": "v2"}, "prompts": "plain"}
    content = {"name": "toy", "base_model": {"path": "m"}, "registry": {"model": "toy"}}
    recipe = Recipe.model_validate_json(json.dumps({**content, "tasks": [own], **FORMS[key]}))
    assert flows.news._pins(recipe) == (
        "tasks.0.source.revision='shop/new@v2'",
        f"{key}.0.source.revision='shop/old@main'",
    )
