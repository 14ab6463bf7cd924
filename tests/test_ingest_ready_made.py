"""Ready-made splits: a test split without labels, as GLUE has them, and what they are used as."""

from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import pytest

from tasks import template
from tasks.errors import BadData
from tasks.stage import Artifact, Inputs
from tests.ingesting import jsonl, recipe_of, records, run, summary

GIVEN = {"values": {"label": {"0": "negative", "1": "positive"}}}
NUMBERS = {"train": 60, "validation": 10, "test": 40}


def rows(split: str) -> list[dict[str, Any]]:
    """Of which those of `test` have no label, as in GLUE."""
    labels = [-1 if split == "test" else number % 2 for number in range(NUMBERS[split])]
    return [{"text": f"{split} {n}", "label": label} for n, label in enumerate(labels)]


def saved(folder: Path) -> dict[str, Any]:
    splits = {split: datasets.Dataset.from_list(rows(split)) for split in NUMBERS}
    datasets.DatasetDict(splits).save_to_disk(str(folder / "saved"))
    return {"path": str(folder / "saved"), **GIVEN}


def in_column(folder: Path) -> dict[str, Any]:
    table = [{**row, "part": split} for split in NUMBERS for row in rows(split)]
    return {"path": jsonl(folder / "a.jsonl", table), "split_column": "part", **GIVEN}


def read(folder: Path, source: dict[str, Any], **task: Any) -> Artifact:
    return run(folder, source, prompts="review_sentiment", **task)


@pytest.mark.parametrize("source_in", [saved, in_column])
def test_a_test_split_without_labels(source_in: Any, tmp_path: Path) -> None:
    source = source_in(tmp_path)
    mend = r"source.splits: {train: train, validation: validation}(.|\n)* validation: test}"
    with pytest.raises(
        BadData, match=f"40 of 110 rows .* all of the split test among(.|\n)*{mend}"
    ):
        read(tmp_path, source)
    made = read(tmp_path, source, max_rejected=0.5)
    recipe = recipe_of(source, prompts="review_sentiment")
    with pytest.raises(BadData, match=f"the split test of(.|\n)*each of its 40 rows(.|\n)*{mend}"):
        template.run(template.select(recipe), Inputs(tmp_path / "workspace", {"ingest": made}))


@pytest.mark.parametrize("source_in", [saved, in_column])
@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ({"train": "train", "validation": "test"}, {"train": 60, "test": 10}),
        ({"train": "train", "validation": "validation"}, {"train": 60, "validation": 10}),
        ({"train": "train", "validation": "train"}, {"train": 70}),
    ],
)
def test_the_recipe_says_what_splits_are_used_as(
    source_in: Any, splits: dict[str, str], expected: dict[str, int], tmp_path: Path
) -> None:
    made = read(tmp_path, {**source_in(tmp_path), "splits": splits})
    assert Counter(row["split"] for row in records(made)) == expected
    counted = summary(made)
    assert (counted["read"], counted["rejected"]) == (sum(expected.values()), 0)
    assert counted["ready_made"].keys() == expected.keys() - {"train"}
    [remark] = counted["remarks"]
    assert f"validation as {splits['validation']}; others are left out" in remark


@pytest.mark.parametrize("source_in", [saved, in_column])
def test_a_split_that_is_not_there_is_told(source_in: Any, tmp_path: Path) -> None:
    source = {**source_in(tmp_path), "splits": {"train": "train", "validaton": "test"}}
    with pytest.raises(BadData, match=r"validaton\n  found +only (test, train|train, validation)"):
        read(tmp_path, source)


def test_files_have_no_splits_to_choose_from(tmp_path: Path) -> None:
    source = {"path": jsonl(tmp_path / "a.jsonl", rows("train")), "splits": {"train": "train"}}
    with pytest.raises(BadData, match="a data set of several splits, or source.split_column"):
        read(tmp_path, {**source, **GIVEN})
