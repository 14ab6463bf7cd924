"""The template stage, on records as ingest leaves them."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks import ingest, template
from tasks.errors import BadData, BadPrompt
from tasks.stage import Artifact, Inputs
from tests.ingesting import jsonl, recipe_of

PROMPTS = """\
name: halves
version: 1
task: generation
slots: [text]
target: original
example: {text: one two, original: one two}
templates:
  - name: half
    prompt: "{{ text | beginning(share=0.5) }}"
    completion: "{{ original | ending(share=0.5) }}"
"""


def run(folder: Path, texts: list[str], **task: Any) -> Artifact:
    return run_on(folder, [{"text": text, "original": text} for text in texts], **task)


def run_on(
    folder: Path, rows: list[dict[str, Any]], split_column: str | None = None, **task: Any
) -> Artifact:
    (folder / "halves.yaml").write_text(PROMPTS)
    source = {"path": jsonl(folder / "texts.jsonl", rows), "split_column": split_column}
    recipe = recipe_of(source, str(folder / "halves.yaml"), **task)
    workspace = folder / "workspace"
    workspace.mkdir()
    read = ingest.run(ingest.select(recipe), Inputs(workspace, {}))
    return template.run(template.select(recipe), Inputs(workspace, {"ingest": read}))


def test_records_that_a_template_makes_nothing_of_are_left_out_and_kept(tmp_path: Path) -> None:
    texts = [*(f"number {number} of many" for number in range(40)), "alone"]
    artifact = run(tmp_path, texts)
    examples = pq.read_table(artifact.path / "examples.parquet").to_pylist()
    assert {row["prompt"] for row in examples} == {f"number {number}" for number in range(40)}
    assert {row["completion"] for row in examples} == {"of many"}
    [reject] = map(json.loads, (artifact.path / "rejects.jsonl").read_text().splitlines())
    assert (reject["task"], reject["template"]) == ("toy", "half")
    assert reject["reason"] == "the completion is empty"
    summary = json.loads((artifact.path / "summary.json").read_text())["toy"]
    assert summary == {"examples": 40, "rejected": 1, "templates": {"half": 40}}


def test_too_many_of_them_stop_the_stage(tmp_path: Path) -> None:
    with pytest.raises(BadPrompt, match="2 of 5 records do not fit"):
        run(tmp_path, ["alone", "apart", "one two", "three four", "five six"])


def test_the_recipe_says_how_many_are_too_many(tmp_path: Path) -> None:
    assert run(tmp_path, ["alone", "one two"], max_rejected=0.5).rows == 1


def test_a_ready_made_split_of_which_no_record_fits_is_told(tmp_path: Path) -> None:
    texts = [*(f"number {number} of many" for number in range(40)), "alone"]
    rows = [{"text": text, "original": text, "split": "train"} for text in texts]
    rows[-1]["split"] = "dev"
    with pytest.raises(BadData, match=r"the split validation of its source\n.*\n.*none"):
        run_on(tmp_path, rows, split_column="split")


def test_every_reference_is_in_the_words_of_the_template(tmp_path: Path) -> None:
    row = {"text": "one two", "original": ["one two", "one three four"]}
    examples = pq.read_table(run_on(tmp_path, [row]).path / "examples.parquet").to_pylist()
    assert examples[0]["references"] == ["two", "four"]
