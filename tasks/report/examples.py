"""Test records to show with all answers to them: the best, the median and the worst.

Example(rank="best", task="support_summary", metric="rougeL", score=0.81,
        prompt="Summarize ...", references=("Tom asks ...",), answers=(
            Answer("base", 0.12, (Piece("Tom:", False),)), Answer("tuned", 0.81, (...))))
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report.marking import Piece, marked

NUM_EXAMPLES = 30
FABRICATION = "fabrication"

Row = Mapping[str, Any]
"""A row of the test stage's `predictions.jsonl`."""


@dataclass(frozen=True)
class Answer:
    """What one way answered.

    Attributes:
        way: Such as `base`.
        score: By the example's metric, in 0..1.
        pieces: The text, cut at made-up facts; whole where the task does not measure those.
    """

    way: str
    score: float
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Example:
    """One test record with the answers to it.

    Attributes:
        rank: `best`, `median` or `worst`, by the tuned model's score.
        task: Its task.
        metric: What the scores are.
        score: The tuned model's.
        prompt: What the models read.
        references: Answers that count as right.
        answers: Of every way, in the order of the test.
    """

    rank: str
    task: str
    metric: str
    score: float
    prompt: str
    references: Sequence[str]
    answers: Sequence[Answer]


def choose_examples(
    rows: Sequence[Row], primaries: Mapping[str, str], count: int = NUM_EXAMPLES
) -> list[Example]:
    """The best, the median and the worst answers of the tuned model, a third each.

    Args:
        rows: Of the test stage.
        primaries: Task -> its deciding metric.
        count: How many in all, at most.
    """

    def place(row: Row) -> tuple[float, str]:
        return -row["scores"]["tuned"][primaries[row["task"]]], row["id"]

    ordered = sorted(rows, key=place)
    third = min(count, len(ordered)) // 3 or 1
    middle = max(0, (len(ordered) - third) // 2)
    places = {
        "best": range(third),
        "median": range(middle, middle + third),
        "worst": range(len(ordered) - third, len(ordered)),
    }
    ranks: dict[int, str] = {}
    for rank, numbers in places.items():
        for number in numbers:
            if 0 <= number < len(ordered):
                ranks.setdefault(number, rank)
    return [
        _example(rank, ordered[number], primaries[ordered[number]["task"]])
        for number, rank in ranks.items()
    ]


def _example(rank: str, row: Row, metric: str) -> Example:
    return Example(
        rank=rank,
        task=row["task"],
        metric=metric,
        score=row["scores"]["tuned"][metric],
        prompt=row["prompt"],
        references=row["references"],
        answers=[_answer(row, way, metric) for way in row["completions"]],
    )


def _answer(row: Row, way: str, metric: str) -> Answer:
    text, scores = row["completions"][way], row["scores"][way]
    pieces = marked(text, row["prompt"]) if FABRICATION in scores else [Piece(text, False)]
    return Answer(way, scores[metric], pieces)
