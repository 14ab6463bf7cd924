"""Leakage: scored rows that are near-duplicates of rows that were trained on.

{"threshold": 0.8, "left_out": false, "tasks": {"support_summary": {"rows": 100, "overlapping": 1,
 "share": 0.01, "examples": [{"id": "9f31...", "train_id": "77ab...", "similarity": 0.91}]}}}
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.data.batches import batches
from tasks.data.dedup import nearest
from tasks.progress import Bar

SIMILARITY = 0.8
"""Least Jaccard similarity of the sets of word 3-grams, estimated by MinHash, of an overlap."""
NUM_EXAMPLES = 10

Overlaps = Mapping[str, tuple[str, float]]
"""Id of a row -> id of the training record that is most like it, and the similarity."""


def overlaps(texts: Mapping[str, str], examples: Path, train: Path) -> dict[str, tuple[str, float]]:
    """Find the rows that overlap with a training record of whatever task.

    Args:
        texts: Id -> text of the rows.
        examples: `examples.parquet` of the template stage, which has the texts of the records.
        train: `train.parquet` of the split stage, which says what was trained on.
    """
    trained = set(pq.read_table(train, columns=["id"])["id"].to_pylist())
    ids: list[str] = []

    def known() -> Iterator[str]:
        for record, text in texts_of(examples, trained):
            ids.append(record)
            yield text

    with Bar("leakage") as bar:
        seen = bar.over(known(), len(trained), "training records")
        found = nearest(texts.values(), seen, SIMILARITY)
    return {
        row: (ids[match[0]], round(match[1], 3))
        for row, match in zip(texts, found, strict=True)
        if match is not None
    }


def texts_of(examples: Path, ids: Set[str]) -> Iterator[tuple[str, str]]:
    """Id and text of each of these records, never all of them in memory."""
    for batch in batches(pq.ParquetFile(examples), ["id", "text"]):
        for row in batch.to_pylist():
            if row["id"] in ids:
                yield row["id"], row["text"]


def counted(ids: Sequence[str], found: Overlaps) -> dict[str, Any]:
    """The overlaps of one task's rows: their number, share and the most similar ones.

    Args:
        ids: Of its rows.
        found: Overlaps of the rows of any task.
    """
    overlapping = [row for row in ids if row in found]
    nearest_first = sorted(overlapping, key=lambda row: (-found[row][1], row))
    return {
        "rows": len(ids),
        "overlapping": len(overlapping),
        "share": round(len(overlapping) / len(ids), 6) if ids else 0.0,
        "examples": [
            {"id": row, "train_id": found[row][0], "similarity": found[row][1]}
            for row in nearest_first[:NUM_EXAMPLES]
        ],
    }
