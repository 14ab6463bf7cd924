"""What became of the data of each task: read, left out, divided, and how long the texts are.

TaskData(task="support_summary", read=1400, rows=1100, sides={"train": 794, ...},
         lengths={"prompt": Lengths(412, 730, 1210), "completion": Lengths(63, 120, 201)}, ...)
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.data.batches import batches
from tasks.data.splitting import SIDES
from tasks.stage import read_json

COLUMNS = ("prompt", "completion")


@dataclass(frozen=True)
class Lengths:
    """How long the texts of a column are, in characters."""

    median: int
    most: int
    """The 95th percentile."""
    longest: int


@dataclass(frozen=True)
class TaskData:
    """The data of one task.

    Attributes:
        task: Its name.
        read: Rows of the source.
        rows: Records used of them.
        rejected: Rows that could not be used.
        duplicates: Rows that were there before.
        not_chosen: Rows left out because `max_examples` asks for fewer.
        reasons: Why rows were rejected -> how many.
        unfit: Records that did not fit their prompt template.
        sides: Side of the split -> examples.
        left_out: Examples on no side.
        near_duplicates: Examples that were kept on the side of another that is nearly the same.
        remarks: What else is to be known of them, in words.
        leaks: Examples of train or validation that also stand in another, ready-made split.
        lengths: Column -> lengths of its texts.
        overlaps: Test records that stand, nearly the same, in the training split; None for a task
            that is not tested.
        tested: Test records that were compared for that.
    """

    task: str
    read: int
    rows: int
    rejected: int
    duplicates: int
    not_chosen: int
    reasons: Mapping[str, int]
    unfit: int
    sides: Mapping[str, int]
    left_out: int
    near_duplicates: int
    remarks: Sequence[str]
    leaks: int
    lengths: Mapping[str, Lengths]
    overlaps: int | None
    tested: int


def data_facts(folders: Mapping[str, Path]) -> list[TaskData]:
    """Read what the stages wrote of the data.

    Args:
        folders: Stage -> its folder.
    """
    ingest, template, split = (
        read_json(folders[stage] / "summary.json") for stage in ("ingest", "template", "split")
    )
    leakage = read_json(folders["test"] / "leakage.json")["tasks"]
    lengths = _lengths(folders["split"])
    return [
        _task(task, entry, template[task], split[task], leakage.get(task), lengths[task])
        for task, entry in ingest.items()
    ]


def _task(
    task: str,
    ingest: Mapping[str, Any],
    template: Mapping[str, Any],
    split: Mapping[str, Any],
    leakage: Mapping[str, Any] | None,
    lengths: Mapping[str, Lengths],
) -> TaskData:
    names = ("read", "rows", "rejected", "duplicates", "not_chosen", "reasons")
    counted = {name: ingest[name] for name in names}
    return TaskData(
        task=task,
        **counted,
        unfit=template["rejected"],
        sides={side: split.get(side, 0) for side in SIDES},
        left_out=split["left_out"],
        near_duplicates=split.get("near_duplicates", 0),  # replayed tasks are not divided
        remarks=[*ingest["remarks"], *split.get("remarks", [])],
        leaks=split.get("leaks", 0),
        lengths=lengths,
        overlaps=leakage["overlapping"] if leakage else None,
        tested=leakage["rows"] if leakage else 0,
    )


def _lengths(split: Path) -> dict[str, dict[str, Lengths]]:
    """Task -> column -> lengths, of all sides together."""
    import numpy as np

    parts: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for side in SIDES:
        file = pq.ParquetFile(split / f"{side}.parquet")
        for batch in batches(file, ["task", *COLUMNS]):
            for task in pc.unique(batch["task"]).to_pylist():
                rows = batch.filter(pc.equal(batch["task"], task))
                for column in COLUMNS:
                    parts[task, column].append(pc.utf8_length(rows[column]).to_numpy())
    found: dict[str, dict[str, Lengths]] = defaultdict(dict)
    for (task, column), arrays in parts.items():
        median, most, longest = np.quantile(np.concatenate(arrays), [0.5, 0.95, 1.0])
        found[task][column] = Lengths(round(median), round(most), round(longest))
    return found
