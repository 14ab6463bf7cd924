"""Read tables: Parquet, Arrow (file and stream), and data sets of the `datasets` library.

A row is `{"text": "The zip broke.", "label": 0}`; its place is its number, from 1.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.batches import batches
from tasks.data.readers_rows import Rows, check_names
from tasks.errors import BadData, RetuneError, first_line

if TYPE_CHECKING:
    from datasets import Dataset

_ROWS_AT_ONCE = 1_000
"""As Python objects, numbers take 30 times as much as in a table."""

_DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)
_SAVED = "a folder written by datasets.Dataset.save_to_disk"
_SAVE_AGAIN = "save the data set again"


def read_parquet(path: Path) -> Rows:
    """Read a Parquet file, batch by batch.

    Raises:
        BadData: It is none.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield from _numbered(str(path), batches(file))
    except _DAMAGED as error:
        raise _unreadable(path, "a Parquet file", error) from None


def read_arrow(path: Path) -> Rows:
    """Read an Arrow IPC file or stream, batch by batch.

    Raises:
        BadData: It is neither.
    """
    try:
        with pa.memory_map(str(path)) as mapped:
            is_file = mapped.read(6) == b"ARROW1"
            mapped.seek(0)
            batches = _file_batches(mapped) if is_file else pa.ipc.open_stream(mapped)
            yield from _numbered(str(path), batches)
    except _DAMAGED as error:
        raise _unreadable(path, "an Arrow file or stream", error) from None


def read_dataset(name: str, dataset: "Dataset") -> Rows:
    """Read a data set of the `datasets` library as it is stored, batch by batch.

    Raises:
        BadData: It is damaged.
    """
    try:
        yield from _numbered(name, dataset.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE))
    except _DAMAGED as error:
        raise BadData(name, "an intact data set", _reason(error), _SAVE_AGAIN) from None


def load_saved(path: Path) -> "dict[str, Dataset]":
    """Load a folder that `datasets` saved: its splits by name, "" for a single unnamed one.

    Raises:
        BadData: The folder is none.
    """
    import datasets  # takes a second, and most recipes do without

    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise BadData(str(path), _SAVED, _reason(error), _SAVE_AGAIN) from None
    except (KeyError, TypeError, AttributeError) as error:  # its JSON is not what was written
        found = f"one that is damaged ({_reason(error)})"
        raise BadData(str(path), _SAVED, found, _SAVE_AGAIN) from None
    return loaded if isinstance(loaded, datasets.DatasetDict) else {"": loaded}


def load_hub(name: str, subset: str | None, revision: str) -> "dict[str, Dataset]":
    """Load a data set from the hub (or its local cache) at a pinned revision: its splits by name.

    Raises:
        BadData: No such data set, revision or subset.
        RetuneError: The hub cannot be reached.
    """
    import datasets

    where = f"hub data set {name}@{revision}"
    try:
        return dict(datasets.load_dataset(name, subset, revision=revision))
    except ConnectionError as error:
        raise RetuneError(f"{where}: the hub cannot be reached ({_reason(error)})") from None
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        mend = "check source.hub, source.revision and source.subset"
        raise BadData(where, "a data set to load", _reason(error), mend) from None


def _file_batches(mapped: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    reader = pa.ipc.open_file(mapped)
    return (reader.get_batch(number) for number in range(reader.num_record_batches))


def _numbered(where: str, tables: Iterable[Any]) -> Rows:
    number = 0
    for table in tables:
        check_names(where, table.schema.names)
        # Unchecked offsets of a damaged file would end the process, not raise an error.
        table.validate(full=True)
        for start in range(0, table.num_rows, _ROWS_AT_ONCE):
            for row in _python_rows(where, table.slice(start, _ROWS_AT_ONCE)):
                number += 1
                yield number, row


def _python_rows(where: str, table: Any) -> Iterator[dict[str, Any]]:
    names = table.schema.names
    columns = list(map(partial(_values, where), table.schema, table.columns))
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _values(where: str, field: pa.Field, column: Any) -> list[Any]:
    """The values of a column; not all dates, times and time zones of a table are Python's too."""
    try:
        values: list[Any] = _as_written(column).to_pylist()
    except (OverflowError, ValueError, KeyError) as error:
        expected = "dates of the years 1 to 9999, times and time zones that Python knows"
        found = f"others in the column '{field.name}' of {field.type} ({_reason(error)})"
        mend = "mend them (infinity to null, for example), or write the file without that column"
        raise BadData(where, expected, found, mend) from None
    return values


def _as_written(column: Any) -> Any:
    """A column with its numbers of 16 or 32 bits as they are written: 4.7, not 4.69921875."""
    if column.type == pa.float16():
        numbers = (number and float(str(np.float16(number))) for number in column.to_pylist())
        return pa.array(numbers, pa.float64())
    is_short = column.type == pa.float32()
    return column.cast(pa.string()).cast(pa.float64()) if is_short else column


def _unreadable(path: Path, expected: str, error: Exception) -> BadData:
    mend = "write the file again, or set source.format to what it is"
    return BadData(str(path), expected, _reason(error), mend)


def _reason(error: Exception) -> str:
    return first_line(error)[:200]
