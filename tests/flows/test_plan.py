"""What a run would do, and the figures that are known before it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tasks.pipeline
from tasks.config import Split
from tasks.pipeline import foreseen, pipeline_key
from tasks.stage import Inputs
from tasks.training.cost import num_parameters, training_memory_bytes


@pytest.fixture
def pipeline(toy_stage):
    return toy_stage("ingest"), toy_stage("template", needs=("ingest",))


def run_all(pipeline, recipe, workspace: Path) -> None:
    artifacts = {}
    for stage in pipeline:
        artifacts[stage.name] = stage.run(stage.select(recipe), Inputs(workspace, artifacts))


def test_reasons_to_run(pipeline, recipe, tmp_path, monkeypatch):
    def outlook(stages, of):
        monkeypatch.setattr(tasks.pipeline, "PIPELINE", stages)
        return [(seen.decision, seen.reason) for seen in foreseen(of, tmp_path)]

    after = ("run", "ingest runs before it")
    assert outlook(pipeline, recipe) == [("run", "not made yet"), after]
    run_all(pipeline, recipe, tmp_path)
    assert [decision for decision, _ in outlook(pipeline, recipe)] == ["reuse", "reuse"]

    other = recipe.model_copy(update={"name": "four-other-small-words"})
    assert outlook(pipeline, other) == [("run", "its part of the recipe changed: text"), after]

    newer = (pipeline[0], replace(pipeline[1], version="8"))
    assert outlook(newer, recipe)[1] == ("run", "version 8 of the stage; made by version 7")

    reads_more = (replace(pipeline[0], files=lambda section: {"base": "51ab"}), pipeline[1])
    assert outlook(reads_more, recipe)[0] == ("run", "what it reads changed: base")

    (tmp_path / "template" / "words.txt").write_text("tampered")
    assert outlook(pipeline, recipe)[1] == ("run", "its files were changed or removed since")


def test_the_key_covers_recipe_versions_and_files(pipeline, recipe, monkeypatch):
    def key_of(stages, of):
        monkeypatch.setattr(tasks.pipeline, "PIPELINE", stages)
        return pipeline_key(of)

    key = key_of(pipeline, recipe)
    assert key == key_of(pipeline, recipe)
    others = {
        key_of(pipeline, recipe.model_copy(update={"split": Split(seed=8)})),
        key_of((pipeline[0], replace(pipeline[1], version="8")), recipe),
        key_of((replace(pipeline[0], files=lambda s: {"a": "1"}), pipeline[1]), recipe),
    }
    assert len(others | {key}) == 4


def test_parameters_are_counted_in_the_headers(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [3, 5], "data_offsets": [0, 60]},
        "b": {"dtype": "F32", "shape": [7], "data_offsets": [60, 88]},
    }
    text = json.dumps(header).encode()
    for shard in ("one", "two"):
        path = tmp_path / f"{shard}.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(88))
    assert num_parameters(tmp_path) == 2 * (15 + 7)
    assert num_parameters(tmp_path / "none") is None


def test_memory_is_state_plus_activations():
    config = {"num_layers": 2, "num_decoder_layers": 1, "d_model": 10, "vocab_size": 100}
    # 1000 parameters of 16 bytes; 5 tokens of 3 layers x 10 x 34 bytes and 100 logits of 8 bytes
    assert training_memory_bytes(1000, config, 5) == 16_000 + 5 * (1020 + 800)
    assert training_memory_bytes(1000, {"vocab_size": 100}, 5) is None
    assert training_memory_bytes(None, config, 5) is None
