"""Which training examples are looked at before any is tokenized."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.data.sampling import COLUMNS, SAMPLE_EXAMPLES, TOGETHER, sample_examples


def written(path: Path, lengths: list[int], groups: list[str] | None = None) -> Path:
    rows = [
        {"task": "ab"[number % 2], "prompt": "x" * length, "completion": f"{number}"}
        | {"group_id": groups[number] if groups else None}
        for number, length in enumerate(lengths)
    ]
    schema = pa.schema([(name, pa.string()) for name in ("group_id", *COLUMNS)])
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=700)
    return path


def test_as_many_of_each_task_are_drawn(tmp_path: Path) -> None:
    sample = sample_examples(written(tmp_path / "train.parquet", [5] * 3000), 7)
    assert sample.num_rows == {"a": 1500, "b": 1500}
    assert len(sample.examples) == len({row["completion"] for row in sample.examples})
    tasks = [row["task"] for row in sample.examples]
    assert tasks.count("a") == tasks.count("b") == SAMPLE_EXAMPLES // 2
    assert sample == sample_examples(tmp_path / "train.parquet", 7)
    assert sample.examples != sample_examples(tmp_path / "train.parquet", 8).examples


def test_the_longest_are_looked_at_whichever_are_drawn(tmp_path: Path) -> None:
    lengths = [5] * 3000
    lengths[1234], lengths[77], lengths[2900] = 60_000, 50_000, 40_000
    path = written(tmp_path / "train.parquet", lengths)
    for seed in range(3):
        long = sorted(
            (len(row["prompt"]) for row in sample_examples(path, seed).long), reverse=True
        )
        assert long[:4] == [60_000, 50_000, 40_000, 5] and len(long) == 16 + 7


def test_few_rows_are_all_there(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        path = written(tmp_path / "train.parquet", [*range(count)])
        sample = sample_examples(path, 7)
        assert len(sample.examples) == count and sample.long[-1]["prompt"] == "x" * (count - 1)


def test_the_answers_of_a_conversation_come_together(tmp_path: Path) -> None:
    sizes = [1 + number % 9 for number in range(400)]
    groups = [f"chat {number}" for number, size in enumerate(sizes) for _ in range(size)]
    path = written(tmp_path / "train.parquet", [5] * len(groups), groups)
    rows = [{**row, "task": "a"} for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows), path)
    sample = sample_examples(path, 7)
    drawn = Counter(groups[int(row["completion"])] for row in sample.examples)
    assert all(groups.count(name) == count for name, count in drawn.items())
    assert SAMPLE_EXAMPLES <= len(sample.examples) < SAMPLE_EXAMPLES + 10
    assert sum(drawn.values()) / len(drawn) == pytest.approx(len(groups) / 400, rel=0.1)

    rows = [{**row, "group_id": "one customer"} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert len(sample_examples(path, 7).examples) < SAMPLE_EXAMPLES + TOGETHER
