"""Write records to Parquet, batch by batch: without duplicates, and up to a maximum number.

id       split  group_id  references    label     text
5a0e...  null   null      ["negative"]  negative  The zip broke.
"""

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.batches import BATCH_BYTES, BATCH_ROWS, batches
from tasks.data.records import Record
from tasks.data.splitting import JUDGING

COLUMNS = ("id", "split", "group_id", "references")
"""What stands before the fields; no field can be called so."""

_RANKED = ["id", "split", "group_id"]


class RecordFile:
    """Collects the records of one task in the order of the source.

    Attributes:
        num_duplicates: Records left out because their content stood in the same split before.
    """

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        """Open the file.

        Args:
            path: Parquet file to write.
            fields: Fields of every record: slots and target.
        """
        columns = [(name, pa.string()) for name in ("id", "split", "group_id")]
        columns.append(("references", pa.list_(pa.string())))
        self._schema = pa.schema([*columns, *((field, pa.string()) for field in fields)])
        self._fields = tuple(fields)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._batch: list[Record] = []
        self._batch_characters = 0
        self._seen: dict[str | None, set[int]] = {split: set() for split in (None, *JUDGING)}
        self.num_duplicates = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def add(self, record: Record) -> None:
        """Add a record, unless its split has it already."""
        # Kept once per split: what stands in train and in test is a leak, not a duplicate.
        seen = self._seen[record.split if record.split in JUDGING else None]
        number = int(record.id, 16)
        if number in seen:
            self.num_duplicates += 1
            return
        seen.add(number)
        self._batch.append(record)
        self._batch_characters += sum(map(len, record.values.values()))
        if len(self._batch) == BATCH_ROWS or self._batch_characters >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        columns: list[Sequence[object]] = [
            [record.id for record in self._batch],
            [record.split for record in self._batch],
            [record.group_id for record in self._batch],
            [record.references for record in self._batch],
        ]
        columns += [[record.values[field] for record in self._batch] for field in self._fields]
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, self._schema))
        self._batch.clear()
        self._batch_characters = 0


def choose(source: Path, target: Path, max_examples: int, whole_groups: bool) -> None:
    """Copy a record file, with at most `max_examples` records that are not of a ready-made split.

    Those with the smallest sha256 of their id stay, in the order of the source, so that more
    rows in the source replace few of the chosen ones. Ready-made validation and test records
    all stay.

    Args:
        source: What `RecordFile` wrote.
        target: The copy.
        max_examples: At least 1.
        whole_groups: Go by the sha256 of the records' group first: of all groups but the last,
            all records stay.
    """
    with pq.ParquetFile(source) as file:
        ranked = (pair for batch in batches(file, _RANKED) for pair in _ranks(batch, whole_groups))
        free = (rank for rank, split in ranked if split not in JUDGING)
        limit = max(heapq.nsmallest(max_examples, free), default=-1)
        with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
            for batch in batches(file):
                stays = [
                    split in JUDGING or rank <= limit for rank, split in _ranks(batch, whole_groups)
                ]
                writer.write_batch(batch.filter(pa.array(stays)))


def _ranks(batch: pa.RecordBatch, whole_groups: bool) -> Iterator[tuple[int, str | None]]:
    """The rank of each record, and its ready-made split."""
    for record, split, group in zip(*(batch[name].to_pylist() for name in _RANKED), strict=True):
        first = group if whole_groups and group else record
        yield _hashed(first) << 64 | _hashed(record), split


def _hashed(record_id: str) -> int:
    return int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:8], "big")
