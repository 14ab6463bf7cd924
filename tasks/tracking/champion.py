"""The challenger against the champion, on the test records that both have answered.

Both wrote `predictions.jsonl`; a record counts where both saw the same prompt, and were scored
against the same references:

    {"id": "9f31...", "task": "support_summary", "prompt": "Summarize ...",
     "references": ["Tom's parcel ..."], "scores": {"tuned": {"rougeL": 0.31}}}
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.scoring.answers import FloatArray, mean
from tasks.scoring.groups import group_numbers, summed
from tasks.scoring.metrics import METRICS
from tasks.tracking.decision import ChampionEvidence, Interval

MIN_COMMON = 0.9
"""Share of the challenger's test records that the champion must have answered too."""

RESAMPLES = 10_000
CHUNK = 250
"""Resamples drawn at a time, to bound the memory."""

FABRICATION = "fabrication"
LOWER_IS_BETTER = frozenset(name for name, metric in METRICS.items() if not metric.higher_is_better)
"""Metrics that can't replace a deciding one, of which higher values are better."""

Scores = Mapping[str, float]
RecordKey = tuple[str, str, str, tuple[str, ...]]
"""Task, id, prompt, references."""


@dataclass(frozen=True)
class Scored:
    """The scores of one model on its records.

    Attributes:
        by_record: Record -> metric -> value.
        groups: Record -> group, of those that are no evidence by themselves.
    """

    by_record: Mapping[RecordKey, Scores]
    groups: Mapping[RecordKey, str]

    @classmethod
    def read(cls, rows: Iterable[Mapping[str, Any]]) -> "Scored":
        """Take the tuned model's scores from the rows of a `predictions.jsonl`."""
        read = [(key_of(row), row) for row in rows]
        groups = {key: row["group_id"] for key, row in read if "group_id" in row}
        return cls({key: row["scores"]["tuned"] for key, row in read}, groups)

    def shared_with(self, other: "Scored") -> list[RecordKey]:
        """The records that both answered, in this one's order."""
        return [record for record in self.by_record if record in other.by_record]

    def summed(self, values: Mapping[RecordKey, float]) -> FloatArray:
        """Sum of the values of each group, and how many they are: shape (groups, 2)."""
        groups = group_numbers([self.groups.get(record) for record in values])
        return summed(np.array([[value, 1.0] for value in values.values()]), groups)

    def covers(self, asked: "Scored") -> bool:
        """Whether it answered enough of the records that another one answered."""
        shared = len(asked.shared_with(self))
        return shared > 0 and shared >= MIN_COMMON * len(asked.by_record)


def key_of(row: Mapping[str, Any]) -> RecordKey:
    """What a row of a `predictions.jsonl` is the answer to."""
    return row["task"], row["id"], row["prompt"], tuple(row["references"])


def compare(
    challenger: Scored, champion: Scored, primaries: Mapping[str, str], version: str
) -> ChampionEvidence:
    """Pair the two models by record and bootstrap the difference of the primary metric.

    With several tasks it is the mean over tasks of their means, and records are redrawn within
    their task, groups as a whole (percentile bootstrap: Efron and Tibshirani, 1993, chapter 13).

    Args:
        challenger: The new version.
        champion: The version in service.
        primaries: Task -> its deciding metric.
        version: The champion's version.

    Returns:
        The paired difference, or why there is none.
    """
    common = challenger.shared_with(champion)
    name = " and ".join(sorted(set(primaries.values())))
    if not champion.covers(challenger):
        why = (
            f"it answered only {len(common)} of the {len(challenger.by_record)} test records "
            "under the same prompts and with the same references."
        )
        return ChampionEvidence(version, name, None, why)
    metrics = {
        task: _shared_metric(task, common, challenger, champion, primaries[task])
        for task in sorted({task for task, *_ in common})
    }
    missing = [task for task, metric in metrics.items() if metric is None]
    if missing:
        why = f"its answers have no score per record in common for {', '.join(missing)}."
        return ChampionEvidence(version, name, None, why)
    differences = [
        _differences(challenger, champion, _of_task(common, task), str(metric))
        for task, metric in metrics.items()
    ]
    names = {task: str(metric) for task, metric in metrics.items()}
    compared = " and ".join(sorted(set(names.values())))
    own = _own(champion, common, names)
    return ChampionEvidence(version, compared, _paired(differences), own=own)


def compare_probes(
    challenger: Scored, champion: Scored, primaries: Mapping[str, str]
) -> dict[str, Interval]:
    """Pair the two models by record on every probe that both answered.

    Args:
        challenger: The new version.
        champion: The version in service.
        primaries: Probe -> its deciding metric.

    Returns:
        Probe -> challenger minus champion. A metric of a whole set is replaced as in `compare`.
    """
    common = challenger.shared_with(champion)
    changes = {}
    for probe, primary in primaries.items():
        records = _of_task(common, probe)
        metric = _shared_metric(probe, records, challenger, champion, primary) if records else None
        if metric is not None:
            changes[probe] = _paired([_differences(challenger, champion, records, metric)])
    return changes


def compare_fabrication(challenger: Scored, champion: Scored) -> Interval | None:
    """Pair the two models on the records for which both have a score of fabrication."""
    scored = [
        record
        for record in challenger.shared_with(champion)
        if FABRICATION in challenger.by_record[record] and FABRICATION in champion.by_record[record]
    ]
    tasks = sorted({task for task, *_ in scored})
    if not tasks:
        return None
    return _paired(
        [_differences(challenger, champion, _of_task(scored, task), FABRICATION) for task in tasks]
    )


def _own(
    champion: Scored, records: Sequence[RecordKey], metrics: Mapping[str, str]
) -> Interval | None:
    """The champion's own figure; None where the metric is not a mean over records."""
    if any(METRICS[metric].aggregate is not mean for metric in metrics.values()):
        return None
    scores = [
        champion.summed(
            {record: champion.by_record[record][metric] for record in _of_task(records, task)}
        )
        for task, metric in metrics.items()
    ]
    return bootstrap(scores)


def _of_task(records: Sequence[RecordKey], task: str) -> list[RecordKey]:
    return [record for record in records if record[0] == task]


def _differences(
    challenger: Scored, champion: Scored, records: Sequence[RecordKey], metric: str
) -> FloatArray:
    return challenger.summed(
        {
            record: challenger.by_record[record][metric] - champion.by_record[record][metric]
            for record in records
        }
    )


def _shared_metric(
    task: str,
    common: Sequence[RecordKey],
    challenger: Scored,
    champion: Scored,
    primary: str,
) -> str | None:
    """The primary metric, or the first other that both have for every record of the task.

    Some metrics, such as macro F1, are of a whole set and have no value per record.
    """
    records = _of_task(common, task)
    first = challenger.by_record[records[0]]
    others = [metric for metric in first if metric not in LOWER_IS_BETTER | {primary}]
    candidates = [primary, *others]
    for metric in candidates:
        if all(
            metric in scored.by_record[record]
            for scored in (challenger, champion)
            for record in records
        ):
            return metric
    return None


def _paired(differences: Sequence[FloatArray]) -> Interval:
    """`bootstrap` of differences, 0 within it where too few groups differ to rule it out."""
    from tasks.scoring.statistics import sign_test, with_no_change  # scipy takes a second

    found = bootstrap(differences)
    num_changed = sum(int(np.count_nonzero(task[:, 0])) for task in differences)
    return Interval(found.value, *with_no_change(found.low, found.high, sign_test(num_changed)))


def bootstrap(values: Sequence[FloatArray], seed: int = 7) -> Interval:
    """Mean over tasks of the mean value, with its 95% percentile bootstrap interval.

    Args:
        values: For each task, the sum of the values of each group of records and how many they
            are, shape (groups, 2); a value is a paired difference, or a score.
        seed: Seed of the resampling.
    """
    generator = np.random.default_rng(seed)
    totals = np.zeros(RESAMPLES)
    for task in values:
        for start in range(0, RESAMPLES, CHUNK):
            rows = generator.integers(0, len(task), size=(CHUNK, len(task)))
            totals[start : start + CHUNK] += mean(task[rows].sum(axis=1))
    low, high = np.percentile(totals / len(values), [2.5, 97.5])
    means = [float(mean(task.sum(axis=0))) for task in values]
    return Interval(sum(means) / len(means), float(low), float(high))
