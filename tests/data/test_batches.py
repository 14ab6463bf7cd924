"""How much of the data is in memory at once does not depend on how long the rows are."""

from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tasks
from tasks.data import batches as limits
from tasks.data import record_files
from tasks.data.batches import batches
from tasks.data.readers_tables import read_arrow, read_parquet
from tasks.data.record_files import RecordFile, choose
from tasks.data.records import Record
from tasks.errors import BadData


def num_groups(path: Path) -> int:
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_row_groups)


def record(number: int, text: str) -> Record:
    return Record(f"{number:016x}", None, ("x",), {"text": text})


def test_long_records_are_written_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_files, "BATCH_BYTES", 100_000)
    monkeypatch.setattr(limits, "BATCH_BYTES", 100_000)
    long = "".join(map(str, range(8_000)))  # 31 kB
    with RecordFile(tmp_path / "long.parquet", ["text"]) as records:
        for number in range(10):
            records.add(record(number, f"{number}{long}"))
    choose(tmp_path / "long.parquet", tmp_path / "chosen.parquet", 8, whole_groups=False)
    assert num_groups(tmp_path / "long.parquet") == 3
    assert num_groups(tmp_path / "chosen.parquet") == 4
    with RecordFile(tmp_path / "short.parquet", ["text"]) as records:
        for number in range(10_001):
            records.add(record(number, "short"))
    assert num_groups(tmp_path / "short.parquet") == 2


def test_long_rows_are_read_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{number:0100}" for number in range(25_000)]
    pq.write_table(pa.table({"text": texts, "n": range(25_000)}), path)
    with pq.ParquetFile(path) as file:
        assert [batch.num_rows for batch in batches(file)] == [10_000, 10_000, 5_000]
        monkeypatch.setattr(limits, "BATCH_BYTES", 100_000)
        sizes = [batch.num_rows for batch in batches(file, ["text"])]
    assert sum(sizes) == 25_000 and 700 < max(sizes) < 1_000


def test_no_table_is_read_in_other_batches() -> None:
    folder = Path(tasks.__file__).parent
    readers = [path for path in folder.rglob("*.py") if ".iter_batches(" in path.read_text()]
    assert readers == [folder / "data" / "batches.py"]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_few_rows_of_a_table_are_python_objects_at_once(name: str, tmp_path: Path) -> None:
    times = pa.array([*range(2_500), 2**62], pa.timestamp("us"))
    table = pa.table({"text": ["a"] * 2_501, "when": times})
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    rows = read_parquet(path) if name == "a.parquet" else read_arrow(path)
    assert [number for number, _ in islice(rows, 2_000)] == list(range(1, 2_001))
    with pytest.raises(BadData, match="'when' of timestamp"):
        next(rows)
