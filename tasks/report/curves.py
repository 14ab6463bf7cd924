"""What happened over the steps of a training, as lines to draw.

Curve("validation", [(69, 2.61), (137, 2.31)])
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.stage import read_rows

NUM_POINTS = 400
"""A curve with more steps than this is thinned out."""

Points = Sequence[tuple[float, float]]
"""(step, value) in the order of the steps."""


@dataclass(frozen=True)
class Curve:
    """A line of a chart."""

    name: str
    points: Points


def loss_curves(trained: Path) -> list[Curve]:
    """Losses of training and validation; those that were not measured are left out.

    Args:
        trained: Folder of the train stage.
    """
    steps = [(row["step"], row["loss"]) for row in read_rows(trained / "steps.jsonl")]
    training = Curve("training", thinned(steps))
    validation = Curve("validation", _of_epochs(trained, "validation_loss"))
    return [curve for curve in (training, validation) if curve.points]


def accuracy_curves(trained: Path) -> list[Curve]:
    """Share of the expected tokens that were the likeliest ones, on validation, after each epoch.

    Args:
        trained: Folder of the train stage.
    """
    curve = Curve("validation", _of_epochs(trained, "validation_token_accuracy"))
    return [curve] if curve.points else []


def thinned(points: Points) -> list[tuple[float, float]]:
    """At most `NUM_POINTS` points: each is the mean of its neighbours."""
    size = -(-len(points) // NUM_POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _of_epochs(trained: Path, column: str) -> list[tuple[float, float]]:
    with (trained / "epochs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(float(row["step"]), float(row[column])) for row in rows if row.get(column)]
