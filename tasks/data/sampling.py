"""A sample of the training examples, for what is to be known of them before they are tokenized.

sample_examples(workspace / "split" / "train.parquet", seed=7)
-> Sample({"chats": 1061}, [{"task": "chats", "prompt": "Summarize: ...", "completion": "Tom asks"},
   ...], long=[...])
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.data.batches import batches

SAMPLE_EXAMPLES = 500
"""Training examples that are looked at, divided equally among the tasks."""

LONGEST = 16

TOGETHER = 16
"""Rows of a group that come together at most, for a group may also be a customer of years."""

COLUMNS = ["task", "prompt", "completion"]


class Sample(NamedTuple):
    """Some of the training examples, each with `task`, `prompt` and `completion`.

    Attributes:
        num_rows: Task -> how many there are.
        examples: About 500, drawn, as many of each task.
        long: The 16 longest by characters, and those with 31, 63, 127 ... before them: where a
            limit of tokens leaves the longest out, one of them is about as long as those it leaves.

    The answers of a conversation come together, in their order, for they are trained on together.
    """

    num_rows: dict[str, int]
    examples: list[dict[str, str]]
    long: list[dict[str, str]]


def sample_examples(path: Path, seed: int) -> Sample:
    """Count the training examples and pick some.

    Args:
        path: `train.parquet` of the stage split.
        seed: Seed of the choice.
    """
    with pq.ParquetFile(path) as file:
        tasks = np.asarray(file.read(columns=["task"])["task"].to_pylist())
        names, counts = np.unique(tasks, return_counts=True)
        pieces = _pieces(file)
        most = SAMPLE_EXAMPLES // len(names)
        drawn = [_drawn(pieces, np.flatnonzero(tasks == name), most, seed) for name in names]
        longest_first = np.argsort(-_characters(file), kind="stable")
        ranks = np.union1d(np.arange(LONGEST), 2 ** np.arange(len(tasks).bit_length()) - 1)
        return Sample(
            dict(zip(names.tolist(), counts.tolist(), strict=True)),
            _rows(file, np.concatenate(drawn)),
            _rows(file, _whole(pieces, longest_first[ranks[ranks < len(tasks)]])),
        )


def _pieces(file: pq.ParquetFile) -> npt.NDArray[np.int64]:
    """A number for each row, the same for rows of one group that stand next to each other."""
    encoded = file.read(columns=["group_id"])["group_id"].combine_chunks().dictionary_encode()
    groups = encoded.indices.fill_null(-1).to_numpy()
    rows = np.arange(len(groups))
    goes_on = (groups == np.roll(groups, 1)) & (groups >= 0)
    first = np.maximum.accumulate(np.where(goes_on, 0, rows))
    return rows - (rows - first) % TOGETHER


def _drawn(
    pieces: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], most: int, seed: int
) -> npt.NDArray[np.int64]:
    """Some of the rows: as many pieces of them as have `most` rows."""
    own, sizes = np.unique(pieces[rows], return_counts=True)
    order = np.random.default_rng(seed).permutation(len(own))
    enough = np.searchsorted(sizes[order].cumsum(), most) + 1
    return _whole(pieces, own[order[:enough]])


def _whole(pieces: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """All rows of the pieces that some rows are of."""
    return np.flatnonzero(np.isin(pieces, pieces[rows]))


def _characters(file: pq.ParquetFile) -> npt.NDArray[np.int64]:
    """Characters of each example."""
    counted = [
        pc.add(*(pc.utf8_length(batch[name]) for name in COLUMNS[1:])).to_numpy()
        for batch in batches(file, COLUMNS[1:])
    ]
    return np.concatenate(counted).astype(np.int64)


def _rows(file: pq.ParquetFile, numbers: npt.NDArray[np.int64]) -> list[dict[str, str]]:
    """Some rows, in the order of the file."""
    rows, start = [], 0
    for batch in batches(file, COLUMNS):
        inside = np.sort(numbers[(numbers >= start) & (numbers < start + batch.num_rows)] - start)
        rows += batch.take(inside).to_pylist()
        start += batch.num_rows
    return rows
