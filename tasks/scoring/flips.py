"""Which rows a model got right before and wrong after, and the other way round.

{"right_to_wrong": {"rows": 9, "share": 0.075, "example": {"id": "5a0e...", "prompt": "Is this ...",
 "reference": "negative", "before": "negative", "after": "positive"}}, "wrong_to_right": {...}}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.scoring.metrics import METRICS

RIGHT = 0.5
"""A row is right when its score is at least this: 1 for right and wrong answers, half for F1."""

Row = Mapping[str, Any]


def flips(rows: Sequence[Row], metric: str) -> dict[str, Any] | None:
    """Count the rows that changed sides.

    Args:
        rows: Of one probe, from `predictions.jsonl`, with the ways `base` and `tuned`.
        metric: Its deciding metric.

    Returns:
        For each direction rows, their share and the row whose score changed most; None for a
        metric that knows no right and wrong.
    """
    if metric in METRICS and METRICS[metric].reads == "likelihoods":
        return None
    lost = [
        row for row in rows if _score(row, "base", metric) >= RIGHT > _score(row, "tuned", metric)
    ]
    won = [
        row for row in rows if _score(row, "base", metric) < RIGHT <= _score(row, "tuned", metric)
    ]
    return {
        "right_to_wrong": _summary(lost, len(rows), metric),
        "wrong_to_right": _summary(won, len(rows), metric),
    }


def _score(row: Row, way: str, metric: str) -> float:
    score: float = row["scores"][way][metric]
    return score


def _summary(rows: Sequence[Row], num_rows: int, metric: str) -> dict[str, Any]:
    def change(row: Row) -> tuple[float, str]:
        return -abs(_score(row, "tuned", metric) - _score(row, "base", metric)), row["id"]

    return {
        "rows": len(rows),
        "share": round(len(rows) / num_rows, 6),
        "example": _example(min(rows, key=change)) if rows else None,
    }


def _example(row: Row) -> dict[str, str]:
    return {
        "id": row["id"],
        "prompt": row["prompt"],
        "reference": row["references"][0],
        "before": row["completions"]["base"],
        "after": row["completions"]["tuned"],
    }
