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
    rows = [{**row, "split": split} for split in (None, "test")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "records.parquet")
    prompts = load_prompts("review_sentiment")
    asked = phrased("toy", prompts, 4, tmp_path / "records.parquet", ["9f31"])
    assert len({row["template"] for row in asked}) == len(asked) == 4


def test_sensitivity_is_by_record_and_paired() -> None:
    values = np.array([[0.9, 0.7, 0.5], [0.5, 0.3, 0.1], [0.7, 0.5, 0.3]])  # records, phrasings
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
    assert (gap["value"], gap["low"], gap["high"], gap["n"]) == pytest.approx((0.3, 0.3, 0.3, 3))
    assert told["seen"]["high"] > told["seen"]["low"]
