"""What the watcher announces, and that one bad recipe does not keep it from the others."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flows.retrain
import flows.watch
from flows.news import News
from flows.retrain import retrain
from flows.watch import watch
from tasks.config import Recipe
from tasks.errors import BadInput, BadRecipe

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_the_others_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []

    def look(recipe: str) -> str:
        if recipe.startswith("bad"):
            raise BadRecipe(recipe, "a recipe", "none")
        looked_at.append(recipe)
        return "nothing new"

    monkeypatch.setenv("RETUNE_HOME", str(tmp_path))
    monkeypatch.setattr(flows.watch, "_look", look)
    with pytest.raises(BadInput) as raised:
        watch(["bad-1.yaml", "a.yaml", "bad-2.yaml", "b.yaml"])
    assert looked_at == ["a.yaml", "b.yaml"]
    assert [issue.where for issue in raised.value.issues] == ["bad-1.yaml", "bad-2.yaml"]


def test_data_are_announced_once_and_again_when_their_retraining_failed(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETUNE_HOME", str(tmp_path))
    news = News(recipe, (), {"source of talk": "51ab"}, None, None)
    monkeypatch.setattr(flows.watch, "look", lambda path: news)
    monkeypatch.setattr(flows.watch, "load_recipe", lambda path: recipe)
    monkeypatch.setattr(flows.retrain, "notify", lambda *told: None)
    events: list[Any] = []
    monkeypatch.setattr(flows.watch, "emit_event", lambda **event: events.append(event))

    def fails(hooks: Any, deployment: str | None) -> None:
        run = SimpleNamespace(parameters={"recipe": "talk.yaml"}, deployment_id=deployment)
        state = SimpleNamespace(type=SimpleNamespace(value="FAILED"), message="held", data=None)
        for hook in hooks:
            hook(retrain, run, state)

    assert watch.fn(["talk.yaml"]) == {"talk.yaml": "changed"}
    assert watch.fn(["talk.yaml"]) == {"talk.yaml": "announced"}
    for hooks in (retrain.on_failure_hooks, retrain.on_crashed_hooks):
        fails(hooks, None)  # somebody's own, in a terminal
        assert watch.fn(["talk.yaml"]) == {"talk.yaml": "announced"}
        fails(hooks, "77e1")
        assert watch.fn(["talk.yaml"]) == {"talk.yaml": "changed"}
    assert len(events) == 3
    assert {event["payload"]["digest"] for event in events} == {news.digest}
