"""From completions to `metrics.json` and `predictions.jsonl`, as `docs/evaluation.md` has them.

{"ways": {"tuned": {"rougeL": {"value": 0.412, "low": 0.388, "high": 0.437, "n": 200}}},
 "differences": {"tuned-base": {"macro": {"value": 0.2, "low": 0.1, "high": 0.3, ...}}}, ...}
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tasks.scoring.answers import FloatArray
from tasks.scoring.fewshot import Example
from tasks.scoring.job import Job
from tasks.scoring.metrics import METRICS
from tasks.scoring.module import statistics_of
from tasks.scoring.statistics import (
    Estimate,
    difference,
    estimates,
    interval,
    macro_average,
    p_value,
)

Measured = tuple[str, str, str]
"""Task, way, metric."""


@dataclass(frozen=True)
class Answers:
    """What one way had to say.

    Attributes:
        texts: Its answer to each example; empty where a task's metrics need none.
        nats: Of each example's expected completion; 0 where no metric needs it.
        generation: What there is to know of how it came to them.
    """

    texts: Sequence[str]
    nats: Sequence[float]
    generation: Mapping[str, Any]


def metrics_of(
    job: Job, examples: Sequence[Example], answers: Mapping[str, Answers]
) -> tuple[dict[Measured, FloatArray], dict[str, Any]]:
    """Score every way on every task.

    Args:
        job: What is scored.
        examples: At least one of each task.
        answers: Of each way.

    Returns:
        The statistics of every task, way and metric, and the content of `metrics.json`.
    """
    statistics = _statistics(job, examples, answers)
    known: dict[Measured, Estimate] = {}
    for number, task in enumerate(job.metrics):
        of_task = {
            key: (values, METRICS[key[2]].aggregate)
            for key, values in statistics.items()
            if key[0] == task
        }
        known |= estimates(of_task, job.resamples, job.seed + number)
    primary = {task: names[0] for task, names in job.metrics.items()}
    sole = next(iter(primary.values())) if len(primary) == 1 else None
    return statistics, {
        "ways": {way: _of_way(job, known, primary, way) for way in job.ways},
        "tasks": {
            task: {
                "primary": primary[task],
                "ways": {
                    way: {name: interval(known[task, way, name]) for name in names}
                    for way in job.ways
                },
            }
            for task, names in job.metrics.items()
        },
        "differences": {
            f"{one}-{other}": _compared(known, primary, one, other) for one, other in job.compare
        },
        "primary": sole or "macro/primary",
        "higher_is_better": {
            name: METRICS[name].higher_is_better
            for name in dict.fromkeys(chain(*job.metrics.values()))
        },
        "generation": {way: dict(answers[way].generation) for way in job.ways},
    }


def predictions_of(
    job: Job,
    examples: Sequence[Example],
    answers: Mapping[str, Answers],
    statistics: Mapping[Measured, FloatArray],
) -> Iterator[dict[str, Any]]:
    """One row per example; its score on a metric of the set is that of a set of it alone."""
    alone = {key: METRICS[key[2]].aggregate(values) for key, values in statistics.items()}
    position: dict[str, int] = dict.fromkeys(job.metrics, 0)
    for index, example in enumerate(examples):
        task = example["task"]
        row = position[task]
        position[task] += 1
        yield {
            **{name: example[name] for name in ("id", "task", "template", "prompt", "references")},
            "completions": {way: answers[way].texts[index] for way in job.ways},
            "scores": {
                way: {
                    name: round(float(alone[task, way, name][row]), 6) for name in job.metrics[task]
                }
                for way in job.ways
            },
        }


def _statistics(
    job: Job, examples: Sequence[Example], answers: Mapping[str, Answers]
) -> dict[Measured, FloatArray]:
    statistics = {}
    for task, names in job.metrics.items():
        rows = [row for row, example in enumerate(examples) if example["task"] == task]
        for way in job.ways:
            for name in names:
                reads_nats = METRICS[name].reads == "likelihoods"
                given = answers[way].nats if reads_nats else answers[way].texts
                statistics[task, way, name] = statistics_of(
                    name,
                    [given[row] for row in rows],
                    [examples[row]["references"] for row in rows],
                    [examples[row]["prompt"] for row in rows],
                )
    return statistics


def _of_way(
    job: Job, known: Mapping[Measured, Estimate], primary: Mapping[str, str], way: str
) -> dict[str, Any]:
    """The intervals of a way, by metric, or by task and metric where there are several tasks."""
    several = len(primary) > 1
    intervals = {
        f"{task}/{name}" if several else name: interval(known[task, way, name])
        for task, names in job.metrics.items()
        for name in names
    }
    if several:
        intervals["macro/primary"] = interval(_macro(known, primary, way))
    return intervals


def _macro(known: Mapping[Measured, Estimate], primary: Mapping[str, str], way: str) -> Estimate:
    return macro_average([known[task, way, name] for task, name in primary.items()])


def _compared(
    known: Mapping[Measured, Estimate], primary: Mapping[str, str], one: str, other: str
) -> dict[str, Any]:
    macro = difference(_macro(known, primary, one), _macro(known, primary, other))
    tasks = {}
    for task, name in primary.items():
        gap = difference(known[task, one, name], known[task, other, name])
        tasks[task] = {"metric": name, **interval(gap), "p": p_value(gap)}
    return {"macro": {**interval(macro), "p": p_value(macro)}, "tasks": tasks}
