"""What the tuned model takes each label for: counts of the test split.

Confusion("moods", ("bad", "good"), [LabelRow("bad", (Cell(31, 4), Cell(2, 1), Cell(0, 0))), ...])
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.scoring.answers import folded

METRICS = frozenset({"accuracy", "macro_f1"})
"""What tasks are measured by whose answers are labels."""

MOST_LABELS = 20
"""More make a table that nobody reads."""

SHADES = 4


@dataclass(frozen=True)
class Cell:
    """How many records of a label got an answer.

    Attributes:
        count: Records.
        shade: Its share of the records of the label, in `SHADES` steps; 0 where there are none.
    """

    count: int
    shade: int


@dataclass(frozen=True)
class LabelRow:
    """The answers to the records of one label.

    Attributes:
        label: The right one.
        cells: For each label, in order, and last for all other answers.
    """

    label: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Confusion:
    """The answers to the records of one task.

    Attributes:
        task: Its name.
        labels: The right answers that there are, sorted.
        rows: One for each label, in order.
    """

    task: str
    labels: Sequence[str]
    rows: Sequence[LabelRow]


def confusions(
    rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Sequence[str]]
) -> list[Confusion]:
    """Count the tuned model's answers to tasks whose answers are labels, and few.

    Args:
        rows: Of the test stage's `predictions.jsonl`.
        metrics: Task -> its metrics.
    """
    of_labels = [task for task, names in metrics.items() if METRICS.intersection(names)]
    found = (_confusion(task, [row for row in rows if row["task"] == task]) for task in of_labels)
    return [one for one in found if len(one.labels) <= MOST_LABELS]


def _confusion(task: str, rows: Sequence[Mapping[str, Any]]) -> Confusion:
    names = {folded(row["references"][0]): row["references"][0] for row in rows}
    keys = sorted(names)
    counts = Counter(
        (folded(row["references"][0]), folded(row["completions"]["tuned"])) for row in rows
    )
    table = []
    for right in keys:
        answers = [counts[right, answer] for answer in keys]
        total = sum(count for (label, _), count in counts.items() if label == right)
        cells = [_cell(count, total) for count in (*answers, total - sum(answers))]
        table.append(LabelRow(names[right], cells))
    return Confusion(task, [names[key] for key in keys], table)


def _cell(count: int, total: int) -> Cell:
    return Cell(count, -(-SHADES * count // total))
