"""What a data set is like, and which changes of it are too large."""

from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.config.retrain import MaxShift
from tasks.data.profile import TaskProfile, from_json, profile, shifts
from tasks.split import COLUMNS
from tasks.stage import write_json

OLD = TaskProfile(
    rows=1000,
    rejected=0.01,
    prompt_chars=400.0,
    completion_chars=50.0,
    labels={"good": 0.6, "bad": 0.4},
)
BOUNDS = MaxShift(fewer_rows=0.5, label_share=0.2, length=0.5, rejected=0.05)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ()),
        ({"rows": 500}, ()),
        ({"rows": 499}, ("mood: 499 records, where there were 1,000",)),
        ({"rows": 9000}, ()),
        ({"rejected": 0.06}, ()),
        ({"rejected": 0.07}, ("mood: 7.0% of the rows are unusable, where it was 1.0%",)),
        ({"rejected": 0.0}, ()),
        ({"prompt_chars": 600.0}, ()),
        (
            {"prompt_chars": 601.0},
            ("mood: a prompt has 601 characters on average, where it had 400",),
        ),
        (
            {"completion_chars": 20.0},
            ("mood: a completion has 20 characters on average, where it had 50",),
        ),
        ({"labels": {"good": 0.75, "bad": 0.25}}, ()),
        (
            {"labels": {"good": 1.0}},
            (
                "mood: 0.0% have the label 'bad', where it was 40.0%",
                "mood: 100.0% have the label 'good', where it was 60.0%",
            ),
        ),
        (
            {"labels": {"good": 0.45, "bad": 0.3, "so-so": 0.25}},
            ("mood: 25.0% have the label 'so-so', where it was 0.0%",),
        ),
    ],
)
def test_what_is_more_than_it_may_be(change: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert shifts({"mood": OLD}, {"mood": replace(OLD, **change)}, BOUNDS) == expected


def test_a_task_that_is_gone_is_told_and_a_new_one_is_not() -> None:
    assert shifts({"mood": OLD}, {"mood": OLD, "chat": OLD}, BOUNDS) == ()
    assert shifts({"mood": OLD, "chat": OLD}, {"mood": OLD}, BOUNDS) == ("chat is gone",)


def test_the_profile_counts_every_side_of_every_task(tmp_path) -> None:
    def example(task: str, prompt: str, completion: str, label: str | None) -> dict[str, Any]:
        texts = {"prompt": prompt, "completion": completion, "references": [completion]}
        return {"id": prompt, "task": task, "template": "plain", "label": label, **texts}

    sides = {
        "train": [example("mood", "abcd", "good", "good"), example("mood", "ab", "bad", "bad")],
        "validation": [example("chat", "ééé", "x", None)],
        "test": [example("mood", "abc", "good", "good"), example("chat", "e", "xyz", None)],
    }
    for side, rows in sides.items():
        fields = [(name, pa.string()) for name in COLUMNS if name != "references"]
        schema = pa.schema([*fields, ("references", pa.list_(pa.string()))])
        pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / f"{side}.parquet")
    read = {"mood": {"read": 4, "rejected": 1}, "chat": {"read": 2, "rejected": 0}}
    write_json(tmp_path / "summary.json", read)
    found = profile(tmp_path, tmp_path)
    assert found == {
        "chat": TaskProfile(2, 0.0, 2.0, 2.0, {}),
        "mood": TaskProfile(3, 0.25, 3.0, pytest.approx(11 / 3), {"good": 2 / 3, "bad": 1 / 3}),
    }
    assert from_json({task: asdict(of) for task, of in found.items()}) == found
