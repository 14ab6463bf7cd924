"""What a run that trains nothing says: how the version stands now, and that nothing was new."""

import logging
from pathlib import Path
from typing import Any

import pytest

import flows.retrain
from flows.news import News
from flows.retrain import retrain
from flows.standing import standing
from tasks.tracking import promotion, registry
from tasks.tracking.decision import Decision
from tasks.tracking.reference import is_made_from
from tests.registering import pipeline, recipe, registered

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code


@pytest.fixture
def workspace(home: Path) -> Path:
    return home / "workspaces" / "chat"


def test_a_version_that_was_rolled_back_is_not_reported_as_promoted(workspace: Path) -> None:
    _, first = registered(pipeline(workspace))
    _, second = registered(pipeline(workspace, tuned=0.5))
    assert standing(second) == second["decision"]
    overtaken = standing(first)
    assert not overtaken["promote"]
    assert overtaken["reasons"][-1] == "The champion is version 2."

    promotion.rollback("summarizer")
    withdrawn = standing(second)
    assert not withdrawn["promote"]
    assert withdrawn["reasons"][:-1] == second["decision"]["reasons"]
    assert withdrawn["reasons"][-1].endswith("took it out of service.")
    assert standing(first) == first["decision"]


def test_a_version_that_was_promoted_later_is_the_champion(workspace: Path) -> None:
    _, kept = registered(pipeline(workspace), registry={"model": "summarizer", "min_gain": 0.9})
    assert standing(kept) == kept["decision"]
    version = registry.by_version("summarizer", "1")
    promotion.promote(version, Decision(False, ()), None, "It must.", "Ana")
    now = standing(kept)
    assert now["promote"] is True
    assert now["reasons"][-1].startswith("It is the champion since ")
    assert now["reasons"][-1].endswith(" by Ana.")


@pytest.mark.usefixtures("prefect_server")
def test_a_retraining_that_reuses_all_found_nothing_new(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "retune")
    _, result = registered(pipeline(workspace))
    sources = {"source of chat": "51ab"}
    news = News(recipe(), (), sources, None, registry.by_version("summarizer", "1"))
    reused = {**result, "stages": {"register": {"state": "reused"}}}
    monkeypatch.setattr(flows.retrain, "load_recipe", lambda path, overrides: news.recipe)
    monkeypatch.setattr(flows.retrain, "look", lambda path, overrides: news)
    monkeypatch.setattr(flows.retrain, "_shifts", lambda news: ())
    monkeypatch.setattr(flows.retrain, "finetune", lambda path, overrides: reused)
    told: Any = retrain("chat.yaml")
    assert (told["outcome"], told["result"]) == ("nothing new", None)
    assert told["reasons"] == ["The records are those of version 1."]
    assert "promoted" not in caplog.text
    version = registry.by_version("summarizer", "1")
    assert is_made_from(version, sources)  # not looked at again
    assert is_made_from(version, {})  # nor are those that it was made from
