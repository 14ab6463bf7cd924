"""The same text with different answers is told, and so is a data set of one single answer."""

from pathlib import Path
from typing import Any

import pytest

from tests.ingesting import jsonl, records, run, summary

REVIEWS = [
    {"text": "The zip broke.", "label": "negative"},
    {"text": "Fine.", "label": "positive"},
    {"text": "the  ZIP broke.", "label": "positive"},
    {"text": "The zip broke.", "label": "negative"},
    {"text": "Fine!", "label": "negative"},
]
CODE = [
    {"prompt": "x = a", "completion": "one"},
    {"prompt": "x = A", "completion": "another"},
    {"prompt": "x = a", "completion": "a third"},
    {"prompt": "x  = a", "completion": "a fourth"},
]


def told(tmp_path: Path, rows: list[dict[str, Any]], prompts: str) -> tuple[list[str], list[str]]:
    artifact = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", rows)}, prompts=prompts)
    return summary(artifact)["remarks"], [record["id"] for record in records(artifact)]


def test_a_text_with_another_label(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    [remark], ids = told(tmp_path, REVIEWS, "review_sentiment")
    found = f"2 records have a text that others have with another label ({ids[0]} and {ids[2]}): "
    assert remark.startswith(found + "one of these labels is wrong")
    assert found in caplog.text


def test_a_text_with_another_answer_is_the_same_to_the_letter(tmp_path: Path) -> None:
    [remark], ids = told(tmp_path, CODE, "plain")
    assert remark.startswith(
        f"2 records have a text that others have with another answer ({ids[0]} and {ids[2]}): each"
    )


@pytest.mark.parametrize("rows", [REVIEWS[:2], REVIEWS[:1]])
def test_nothing_is_told_of_records_that_agree(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    assert told(tmp_path, rows, "review_sentiment")[0] == []


def test_one_label_alone(tmp_path: Path) -> None:
    [remark], _ = told(tmp_path, REVIEWS[1:3], "review_sentiment")
    assert remark.startswith("all records have the same label, 'positive': ")
