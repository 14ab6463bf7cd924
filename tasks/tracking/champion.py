"""The challenger against the champion, on the test records that both have answered.

Both wrote `predictions.jsonl`; a record counts where both saw the same prompt:

    {"id": "9f31...", "task": "support_summary", "prompt": "Summarize ...",
     "scores": {"tuned": {"rougeL": 0.31}}}
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.scoring.metrics import METRICS
from tasks.tracking.decision import ChampionEvidence, Interval

MIN_COMMON = 0.9
"""Share of the challenger's test records that the champion must have answered too."""

RESAMPLES = 10_000
CHUNK = 250
"""Resamples drawn at a time, to bound the memory."""

LOWER_IS_BETTER = tuple(name for name, metric in METRICS.items() if not metric.higher_is_better)

Scores = Mapping[str, float]


@dataclass(frozen=True)
class Scored:
    """The scores of one model on its test records: (task, id, prompt) -> metric -> value."""

    by_record: Mapping[tuple[str, str, str], Scores]

    @classmethod
    def read(cls, rows: Iterable[Mapping[str, Any]]) -> "Scored":
        """Take the tuned model's scores from the rows of a `predictions.jsonl`."""
        return cls(
            {(row["task"], row["id"], row["prompt"]): row["scores"]["tuned"] for row in rows}
        )


def compare(
    challenger: Scored, champion: Scored, primaries: Mapping[str, str], version: str
) -> ChampionEvidence:
    """Pair the two models by record and bootstrap the difference of the primary metric.

    With several tasks it is the mean over tasks of their means, and records are redrawn within
    their task (percentile bootstrap: Efron and Tibshirani, 1993, chapter 13).

    Args:
        challenger: The new version.
        champion: The version in service.
        primaries: Task -> its deciding metric.
        version: The champion's version.

    Returns:
        The paired difference, or why there is none.
    """
    common = [record for record in challenger.by_record if record in champion.by_record]
    name = " and ".join(sorted(set(primaries.values())))
    if len(common) < MIN_COMMON * len(challenger.by_record) or not common:
        why = (
            f"it answered only {len(common)} of the {len(challenger.by_record)} test records "
            "under the same prompts. Run the champion's recipe again on today's data and prompts, "
            "then this one."
        )
        return ChampionEvidence(version, name, None, why)
    metrics = {
        task: _shared_metric(task, common, challenger, champion, primaries[task])
        for task in sorted({task for task, _, _ in common})
    }
    missing = [task for task, metric in metrics.items() if metric is None]
    if missing:
        why = (
            f"its predictions have no score per record in common for {', '.join(missing)}. "
            "Run the champion's recipe again, then this one."
        )
        return ChampionEvidence(version, name, None, why)
    differences = [
        [
            challenger.by_record[record][str(metric)] - champion.by_record[record][str(metric)]
            for record in common
            if record[0] == task
        ]
        for task, metric in metrics.items()
    ]
    compared = " and ".join(sorted({str(metric) for metric in metrics.values()}))
    return ChampionEvidence(version, compared, bootstrap(differences))


def _shared_metric(
    task: str,
    common: list[tuple[str, str, str]],
    challenger: Scored,
    champion: Scored,
    primary: str,
) -> str | None:
    """The primary metric, or the first other that both have for every record of the task.

    Some metrics, such as macro F1, are of a whole set and have no value per record.
    """
    records = [record for record in common if record[0] == task]
    first = challenger.by_record[records[0]]
    candidates = [
        primary,
        *(metric for metric in first if metric not in (primary, *LOWER_IS_BETTER)),
    ]
    for metric in candidates:
        if all(
            metric in scored.by_record[record]
            for scored in (challenger, champion)
            for record in records
        ):
            return metric
    return None


def bootstrap(differences: list[list[float]], seed: int = 7) -> Interval:
    """Mean over tasks of the mean difference, with its 95% percentile bootstrap interval.

    Args:
        differences: For each task, one paired difference for each record.
        seed: Seed of the resampling.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    totals = np.zeros(RESAMPLES)
    for values in (np.asarray(task) for task in differences):
        for start in range(0, RESAMPLES, CHUNK):
            rows = generator.integers(0, len(values), size=(CHUNK, len(values)))
            totals[start : start + CHUNK] += values[rows].mean(axis=1)
    low, high = np.percentile(totals / len(differences), [2.5, 97.5])
    means = [sum(task) / len(task) for task in differences]
    return Interval(sum(means) / len(means), float(low), float(high))
