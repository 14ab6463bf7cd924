"""What a data set is like, and how far a newer one differs from it.

{"support_summary": {"rows": 1000, "rejected": 0.01, "prompt_chars": 412.0,
                     "completion_chars": 63.5, "labels": {}}}
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.config.retrain import MaxShift
from tasks.data.batches import batches
from tasks.data.splitting import SIDES
from tasks.stage import read_json

_COLUMNS = ["task", "prompt", "completion", "label"]


@dataclass(frozen=True)
class TaskProfile:
    """One task's data.

    Attributes:
        rows: Its records, of all sides.
        rejected: Share of the rows that were unusable, from 0 to 1.
        prompt_chars: Mean length of a prompt, in characters.
        completion_chars: Mean length of a completion, in characters.
        labels: Label -> its share of the records; empty where there are none.
    """

    rows: int
    rejected: float
    prompt_chars: float
    completion_chars: float
    labels: Mapping[str, float]


Profile = Mapping[str, TaskProfile]
"""Task -> its data."""


def profile(ingested: Path, parts: Path) -> Profile:
    """Take the profile of what two stages made of the data.

    Args:
        ingested: Folder of the ingest stage.
        parts: Folder of the split stage.
    """
    rows: Counter[str] = Counter()
    chars: Counter[tuple[str, str]] = Counter()
    labels: Counter[tuple[str, str]] = Counter()
    for task, batch in _batches(parts):
        rows[task] += batch.num_rows
        for column in ("prompt", "completion"):
            chars[task, column] += pc.sum(pc.utf8_length(batch[column])).as_py()
        for count in pc.value_counts(batch["label"].drop_null()).to_pylist():
            labels[task, count["values"]] += count["counts"]
    read = read_json(ingested / "summary.json")
    return {
        task: TaskProfile(
            rows=num_rows,
            rejected=read[task]["rejected"] / read[task]["read"],
            prompt_chars=chars[task, "prompt"] / num_rows,
            completion_chars=chars[task, "completion"] / num_rows,
            labels={label: count / num_rows for (of, label), count in labels.items() if of == task},
        )
        for task, num_rows in sorted(rows.items())
    }


def from_json(content: Mapping[str, Any]) -> Profile:
    """The profile whose `asdict` of each task was written down."""
    return {task: TaskProfile(**values) for task, values in content.items()}


def shifts(old: Profile, new: Profile, bounds: MaxShift) -> tuple[str, ...]:
    """What changed by more than it may, in words; nothing where the data are as they were.

    Args:
        old: Data of the version in service.
        new: Data to be trained on; a task that `old` lacks has nothing to be compared with.
        bounds: How much may change.
    """
    found: list[str] = []
    for task in sorted(old.keys() | new.keys()):
        if task not in new:
            found.append(f"{task} is gone")
        elif task in old:
            reasons = _task_shifts(old[task], new[task], bounds)
            found += [f"{task}: {reason}" for reason in reasons]
    return tuple(found)


def _batches(parts: Path) -> Iterator[tuple[str, Any]]:
    """The examples of all sides, each batch of one task."""
    for side in SIDES:
        for batch in batches(pq.ParquetFile(parts / f"{side}.parquet"), _COLUMNS):
            for task in pc.unique(batch["task"]).to_pylist():
                yield task, batch.filter(pc.equal(batch["task"], task))


def _task_shifts(old: TaskProfile, new: TaskProfile, bounds: MaxShift) -> Iterator[str]:
    if new.rows < (1 - bounds.fewer_rows) * old.rows:
        yield f"{new.rows:,} records, where there were {old.rows:,}"
    if new.rejected - old.rejected > bounds.rejected:
        yield f"{new.rejected:.1%} of the rows are unusable, where it was {old.rejected:.1%}"
    for name in ("prompt", "completion"):
        before, now = getattr(old, f"{name}_chars"), getattr(new, f"{name}_chars")
        if abs(now - before) > bounds.length * before:
            yield f"a {name} has {now:,.0f} characters on average, where it had {before:,.0f}"
    for label in sorted(old.labels.keys() | new.labels.keys()):
        was, share = old.labels.get(label, 0.0), new.labels.get(label, 0.0)
        if abs(share - was) > bounds.label_share:
            yield f"{share:.1%} have the label '{label}', where it was {was:.1%}"
