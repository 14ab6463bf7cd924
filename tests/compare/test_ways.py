"""What each way changes of a recipe, and what it leaves alone."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.compare import partial, ways
from tasks.compare.ways import Way
from tasks.config import Recipe
from tasks.errors import BadRecipe
from tasks.stage import Artifact, Inputs

TASK = {"name": "chats", "source": {"path": "c.jsonl"}, "prompts": "dialogue_summary"}
OLD = {"name": "moods", "source": {"path": "m.jsonl"}, "prompts": "review_sentiment"}


def recipe(**changes: Any) -> Recipe:
    content = {
        "name": "chat",
        "base_model": {"path": "models/tiny"},
        "tasks": [TASK],
        "registry": {"model": "summarizer"},
        **changes,
    }
    return Recipe.model_validate_json(json.dumps(content))


def test_full_is_the_recipe_without_help_against_forgetting() -> None:
    train = {"epochs": 2, "replay": {"tasks": [OLD]}, "interpolate": {}}
    found = ways.full(recipe(train=train)).recipe
    assert (found.train.method, found.train.epochs) == ("full", 2)
    assert found.train.replay is None and found.train.interpolate is None
    assert found.trained_tasks == recipe().tasks
    plain = recipe(train={"epochs": 2, "learning_rate": 0.01, "optimizer": "adafactor"})
    assert ways.full(plain).recipe == plain
    assert ways.interpolated(plain).train.interpolate is not None


def test_lora_has_a_learning_rate_of_its_own() -> None:
    lora = ways.lora(recipe(train={"learning_rate": 0.01, "optimizer": "adafactor"}))
    assert isinstance(lora, Way)
    assert lora.recipe.train.learning_rate is None
    assert lora.recipe.train.optimizer == "adamw"
    of_lora = recipe(train={"method": "lora", "learning_rate": 0.004, "lora": {"rank": 4}})
    same = ways.lora(of_lora)
    assert isinstance(same, Way) and same.recipe.train == of_lora.train
    assert ways.full(of_lora).recipe.train.learning_rate is None
    sharded = recipe(train={"launch": {"processes_per_node": 2, "accelerate": "fsdp"}})
    assert "fsdp" in str(ways.lora(sharded))


def test_old_tasks_are_those_named_or_those_of_the_probes() -> None:
    named = recipe(train={"replay": {"ratio": 0.1, "tasks": [OLD]}})
    replay, multi_task = ways.rehearsing(named)
    assert isinstance(replay, Way) and isinstance(multi_task, Way)
    assert replay.recipe.train.replay == named.train.replay
    assert multi_task.recipe.train.replay is not None
    assert multi_task.recipe.train.replay.ratio == 0.5
    kept = {"remedies": ["replay"], "old_tasks": [OLD]}
    assert ways.old_tasks(recipe(forgetting=kept)) == ways.old_tasks(named)
    assert not ways.full(recipe(forgetting=kept)).recipe.old_tasks
    probed = [task.name for task in ways.old_tasks(recipe())]
    assert {"old-dates", "old-sentiment"} <= set(probed)
    assert "no old tasks" in str(ways.rehearsing(recipe(forgetting={"probes": None})))


def test_the_budget_is_the_same_however_few_rows() -> None:
    few = ways.curve(recipe(), 600)
    assert [(way.name, way.rows) for way in few] == [
        ("full_125", 125), ("full_250", 250), ("full_500", 500),
    ]  # fmt: skip
    train = ways.within(few[0], 70).recipe.train
    assert train.max_steps == 70 and train.epochs >= 70


def test_a_model_from_scratch_is_nothing_to_compare() -> None:
    with pytest.raises(BadRecipe, match="a base model with weights"):
        ways.full(recipe(base_model={"path": "m", "from_scratch": True}))


@pytest.fixture
def data(tmp_path: Path) -> Inputs:
    names = ("id", "group_id", "task", "template", "prompt", "completion", "label")
    schema = pa.schema([(name, pa.string()) for name in names])
    schema = schema.append(pa.field("references", pa.list_(pa.string())))
    for folder in ("ingest", "split"):
        (tmp_path / folder).mkdir()
    records = [
        {"id": f"{n:016x}", "dialogue": f"Ana: Lunch {n}?", "summary": f"Lunch {n}."}
        for n in range(60)
    ]
    kept = [row | {"group_id": None, "references": [row["summary"]]} for row in records]
    pq.write_table(pa.Table.from_pylist(kept), tmp_path / "ingest" / "chats.parquet")
    sides = {"train": records[:40], "validation": records[40:50], "test": records[50:]}
    for side, rows in sides.items():
        pairs = [
            {"id": row["id"], "task": "chats", "template": "retell", "prompt": row["dialogue"]}
            | {"completion": row["summary"], "references": [row["summary"]], "label": None}
            for row in rows
        ]
        path = tmp_path / "split" / f"{side}.parquet"
        pq.write_table(pa.Table.from_pylist(pairs, schema=schema), path)
    artifacts = {
        name: Artifact(name, tmp_path / name, name, 0, "ran", 0.0, {})
        for name in ("ingest", "split")
    }
    return Inputs(tmp_path / "way", artifacts)


def made(way: Way, data: Inputs) -> dict[str, list[dict[str, Any]]]:
    stage = partial.stage_of(way)
    folder = stage.run(stage.select(way.recipe), data).path
    sides = ("train", "validation", "test")
    return {side: pq.read_table(folder / f"{side}.parquet").to_pylist() for side in sides}


def test_fewer_rows_are_a_part_of_more(data: Inputs) -> None:
    whole = pq.read_table(data["split"] / "train.parquet").to_pylist()
    few, more = (made(Way("x", recipe(), rows=rows), data) for rows in (5, 20))
    assert (len(few["train"]), len(more["train"])) == (5, 20)
    assert all(row in more["train"] for row in few["train"])
    assert all(row in whole for row in more["train"])
    assert len(few["validation"]) == len(few["test"]) == 10


def test_one_phrasing_is_the_first_and_the_rows_stay(data: Inputs) -> None:
    found = made(ways.one_phrasing(recipe()), data)
    assert {row["template"] for row in found["train"] + found["validation"]} == {"plain_request"}
    before = pq.read_table(data["split"] / "train.parquet").to_pylist()
    assert [row["id"] for row in found["train"]] == [row["id"] for row in before]
    assert [row["completion"] for row in found["train"]] == [row["completion"] for row in before]
    assert all(
        new["prompt"] != old["prompt"] for new, old in zip(found["train"], before, strict=True)
    )
    assert {row["template"] for row in found["test"]} == {"retell"}
