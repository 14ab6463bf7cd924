"""How much of a table is in memory at once: a number of rows, and fewer where they are long.

for batch in batches(pq.ParquetFile("examples.parquet"), ["text"]): ...  # 10,000 tweets, 20 books
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 10_000
BATCH_BYTES = 2**24
"""Python strings, their tables and the file's pages take several times as much."""


def batches(
    file: pq.ParquetFile, columns: Sequence[str] | None = None, most_rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """The batches of a Parquet file.

    Args:
        file: The file.
        columns: Those to read; all by default.
        most_rows: At most so many rows at once.
    """
    metadata = file.metadata
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    num_bytes = sum(group.total_byte_size for group in groups)
    fitting = BATCH_BYTES * metadata.num_rows // max(1, num_bytes)
    num_rows = min(most_rows, max(1, fitting))
    yield from file.iter_batches(num_rows, columns=columns and list(columns))
