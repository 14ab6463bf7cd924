"""Which training examples are looked at before any is tokenized."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.sampling import SAMPLE_EXAMPLES, sample_examples


def written(path: Path, lengths: list[int]) -> Path:
    rows = [
        {"task": "ab"[number % 2], "prompt": "x" * length, "completion": f"{number}"}
        for number, length in enumerate(lengths)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=700)
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
