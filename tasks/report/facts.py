"""Everything a report says, read from the artifacts of the stages.

Example(task="support_summary", prompt="Summarize ...", references=("Tom asks ...",),
        completions={"base": "Tom:", "tuned": "Tom asks ..."}, metric="rougeL", score=0.61)
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.stage import read_json

WAYS = {"base": "base model", "one_shot": "one-shot", "few_shot": "few-shot", "tuned": "tuned"}
"""The ways to get an answer, in the order of a table, and their names."""

NUM_EXAMPLES = 15
NUM_POINTS = 400
"""A curve with more steps than this is thinned out."""


@dataclass(frozen=True)
class Example:
    """One test record with the answers to it.

    Attributes:
        rank: `best`, `median` or `worst`, by the tuned model's score.
        task: Its task.
        prompt: What the models read.
        references: Answers that count as right.
        completions: Way -> answer.
        metric: What the score is.
        score: The tuned model's, in 0..1; None where the metric has none for a single record.
    """

    rank: str
    task: str
    prompt: str
    references: Sequence[str]
    completions: Mapping[str, str]
    metric: str
    score: float | None


@dataclass(frozen=True)
class Curve:
    """A line of a chart: (step, value) in the order of the steps."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class DataCounts:
    """What became of the rows of one task's source."""

    task: str
    rows: int
    rejected: int
    duplicates: int
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class Facts:
    """All that a report says.

    Attributes:
        result: The document of `retune run --json`, without its stages.
        base_model: Folder or hub name of the base model.
        metrics: `metrics.json` of the test stage.
        forgetting: `probes.json` of the forgetting stage.
        training: `summary.json` of the train stage.
        curves: Losses over steps.
        data: Counts of the ingest stage.
        splits: Side -> examples.
        examples: Answers side by side.
        lineage: The version's tags.
    """

    result: Mapping[str, Any]
    base_model: str
    metrics: Mapping[str, Any]
    forgetting: Mapping[str, Any]
    training: Mapping[str, Any]
    curves: Sequence[Curve]
    data: Sequence[DataCounts]
    splits: Mapping[str, int]
    examples: Sequence[Example]
    lineage: Mapping[str, str]


def read_facts(
    result: Mapping[str, Any],
    base_model: str,
    lineage: Mapping[str, str],
    folders: Mapping[str, Path],
    splits: Mapping[str, int],
) -> Facts:
    """Read what the stages wrote.

    Args:
        result: The document of `retune run --json`, without its stages.
        base_model: Folder or hub name.
        lineage: The version's tags.
        folders: Stage -> its folder.
        splits: Side -> examples.
    """
    metrics = read_json(folders["test"] / "metrics.json")
    primaries = {task: entry["primary"] for task, entry in metrics["tasks"].items()}
    return Facts(
        result=result,
        base_model=base_model,
        metrics=metrics,
        forgetting=read_json(folders["forgetting"] / "probes.json"),
        training=read_json(folders["train"] / "summary.json"),
        curves=_curves(folders["train"]),
        data=data_counts(read_json(folders["ingest"] / "summary.json")),
        splits=splits,
        examples=choose_examples(list(read_rows(folders["test"] / "predictions.jsonl")), primaries),
        lineage=lineage,
    )


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSON-lines file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def choose_examples(
    rows: Sequence[Mapping[str, Any]], primaries: Mapping[str, str], count: int = NUM_EXAMPLES
) -> list[Example]:
    """The best, the median and the worst answers of the tuned model, a third each.

    Args:
        rows: Of the test stage's `predictions.jsonl`.
        primaries: Task -> its deciding metric.
        count: How many in all, at most.
    """
    ordered = sorted(rows, key=lambda row: (-(_score(row, primaries) or 0.0), row["id"]))
    third = min(count, len(ordered)) // 3 or 1
    middle = max(0, (len(ordered) - third) // 2)
    places = {
        "best": range(third),
        "median": range(middle, middle + third),
        "worst": range(len(ordered) - third, len(ordered)),
    }
    taken: set[int] = set()
    examples = []
    for rank, numbers in places.items():
        for number in numbers:
            if 0 <= number < len(ordered) and number not in taken:
                taken.add(number)
                examples.append(_example(rank, ordered[number], primaries))
    return examples


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `NUM_POINTS` points: each is the mean of its neighbours."""
    size = -(-len(points) // NUM_POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (group[-1][0], sum(value for _, value in group) / len(group)) for group in groups if group
    ]


def _score(row: Mapping[str, Any], primaries: Mapping[str, str]) -> float | None:
    scores: Mapping[str, float] = row["scores"]["tuned"]
    return scores.get(primaries[row["task"]], next(iter(scores.values()), None))


def _example(rank: str, row: Mapping[str, Any], primaries: Mapping[str, str]) -> Example:
    scores = row["scores"]["tuned"]
    primary = primaries[row["task"]]
    return Example(
        rank=rank,
        task=row["task"],
        prompt=row["prompt"],
        references=row["references"],
        completions=row["completions"],
        metric=primary if primary in scores else next(iter(scores), primary),
        score=_score(row, primaries),
    )


def _curves(folder: Path) -> list[Curve]:
    steps = folder / "steps.jsonl"
    rows = list(read_rows(steps)) if steps.exists() else []
    with (folder / "epochs.csv").open(encoding="utf-8", newline="") as file:
        epochs = list(csv.DictReader(file))
    curves = [
        Curve("training", thinned([(row["step"], row["loss"]) for row in rows])),
        Curve("validation", _column(epochs, "validation_loss")),
    ]
    return [curve for curve in curves if curve.points]


def _column(epochs: Sequence[Mapping[str, str]], name: str) -> list[tuple[float, float]]:
    return [(float(row["step"]), float(row[name])) for row in epochs if row.get(name)]


def data_counts(summary: Mapping[str, Any]) -> list[DataCounts]:
    """The counts in the ingest stage's `summary.json`."""
    return [
        DataCounts(
            task, entry["rows"], entry["rejected"], entry["duplicates"], entry.get("reasons", {})
        )
        for task, entry in summary.items()
    ]
