"""Which phrasings are asked, and what is made of the answers."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.prompts.library import load_prompts
from tasks.scoring.phrasings import chosen, phrased
from tasks.scoring.sensitivity import sensitivity


def test_half_of_the_phrasings_are_held_out_where_there_are_as_many() -> None:
    prompts = load_prompts("dialogue_summary")
    assert [template.heldout for template in chosen(prompts, 4)] == [False, False, True, True]
    assert [template.heldout for template in chosen(prompts, 6)] == [False] * 4 + [True] * 2
    assert chosen(prompts, 0) == ()
    assert len(chosen(load_prompts("plain"), 4)) == 1


def test_a_record_of_two_splits_is_asked_once(tmp_path: Path) -> None:
    row = {"id": "9f31", "text": "Fine.", "label": "positive", "references": ["positive"]}
    rows = [{**row, "group_id": "5c", "split": split} for split in (None, "test")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "records.parquet")
    prompts = load_prompts("review_sentiment")
    asked = phrased("toy", prompts, 4, tmp_path / "records.parquet", ["9f31"])
    assert len({row["template"] for row in asked}) == len(asked) == 4
    assert {row["group_id"] for row in asked} == {"5c"}


WORDED = """\
name: worded
version: 1
task: question_answering
slots: [text]
target: said
example: {text: red, said: red}
templates:
  - {name: plain, prompt: "Say {{ text }}", completion: "Said: {{ said }}"}
  - {name: other, prompt: "Colour {{ text }}", completion: "It is {{ said }}", heldout: true}
"""


def test_every_reference_is_in_the_words_of_the_phrasing(tmp_path: Path) -> None:
    row = {"id": "9f31", "group_id": None, "split": None}
    row |= {"text": "x", "said": "red", "references": ["red", "rose"]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "records.parquet")
    (tmp_path / "worded.yaml").write_text(WORDED)
    prompts = load_prompts(str(tmp_path / "worded.yaml"))
    asked = phrased("toy", prompts, 2, tmp_path / "records.parquet", ["9f31"])
    assert [row["references"] for row in asked] == [
        ["Said: red", "Said: rose"],
        ["It is red", "It is rose"],
    ]


def test_sensitivity_is_by_record_and_paired() -> None:
    values = np.array([[0.9, 0.7, 0.5], [0.5, 0.3, 0.1], [0.7, 0.5, 0.3]] * 2)  # records, phrasings
    names = {"a": False, "b": False, "c": True}
    examples = [
        {"template": name, "heldout": heldout} for _ in values for name, heldout in names.items()
    ]
    statistics = np.column_stack([values.ravel(), np.ones(values.size)])
    told = sensitivity(examples, statistics, "rougeL", 500, 7)
    assert [entry["value"] for entry in told["templates"].values()] == [0.7, 0.5, 0.3]
    assert told["spread"] == pytest.approx(0.4)
    assert told["seen"]["value"] == pytest.approx(0.6)
    # Every record loses the same, whatever it scores: no doubt about the difference.
    gap = told["difference"]
    assert (gap["value"], gap["low"], gap["high"], gap["n"]) == pytest.approx((0.3, 0.3, 0.3, 6))
    assert told["seen"]["high"] > told["seen"]["low"]
