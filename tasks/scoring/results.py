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
from tasks.scoring.metrics import MEAN, METRICS
from tasks.scoring.module import statistics_of
from tasks.scoring.sensitivity import sensitivity
from tasks.scoring.statistics import (
    Estimate,
    detectable,
    difference,
    estimates,
    holm,
    interval,
    macro_average,
    needed_examples,
    p_value,
)

Measured = tuple[str, str, str]
"""Task, way, metric."""


@dataclass(frozen=True)
class Answers:
    """The answers of one way.

    Attributes:
        texts: Its answer to each example; empty where a task's metrics need none.
        nats: Of each example's expected completion; 0 where no metric needs it.
        generation: Facts of how they were generated: tokens, cut prompts, shots.
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
        groups = [example.get("group_id") for example in examples if example["task"] == task]
        known |= estimates(of_task, job.resamples, job.seed + number, groups)
    primary = {task: names[0] for task, names in job.metrics.items()}
    sole = next(iter(primary.values())) if len(primary) == 1 else None
    return statistics, {
        "ways": {way: _of_way(job, known, primary, way) for way in job.ways},
        "tasks": {
            task: {
                "primary": primary[task],
                "human": _human(job, task, examples),
                "ways": {
                    way: {name: interval(known[task, way, name]) for name in names}
                    for way in job.ways
                },
            }
            for task, names in job.metrics.items()
        },
        "differences": {
            f"{one}-{other}": _compared(job, known, primary, one, other)
            for one, other in job.compare
        },
        "primary": sole or MEAN,
        "higher_is_better": {
            name: METRICS[name].higher_is_better
            for name in dict.fromkeys(chain(*job.metrics.values()))
        },
        "best_in_context": _best_in_context(job, known, primary),
        "min_effect": job.min_effect,
        "generation": _generation(job, answers),
    }


def phrasings_of(job: Job, examples: Sequence[Example], answers: Answers) -> dict[str, Any]:
    """Prompt sensitivity of each task, by its deciding metric.

    Args:
        job: What is scored.
        examples: In several phrasings, task after task.
        answers: To them.
    """
    found = {}
    for task, (primary, *_) in job.metrics.items():
        rows = [row for row, example in enumerate(examples) if example["task"] == task]
        if rows:
            statistics = _scored(primary, examples, answers, rows)
            own = [examples[row] for row in rows]
            found[task] = sensitivity(own, statistics, primary, job.resamples, job.seed)
    return found


def predictions_of(
    job: Job,
    examples: Sequence[Example],
    answers: Mapping[str, Answers],
    statistics: Mapping[Measured, FloatArray],
) -> Iterator[dict[str, Any]]:
    """One row per example; its score on a metric of the set is that of a set of it alone."""
    alone = {}
    for key, values in statistics.items():
        metric = METRICS[key[2]]
        alone[key] = (metric.alone or metric.aggregate)(values)
    position: dict[str, int] = dict.fromkeys(job.metrics, 0)
    for index, example in enumerate(examples):
        task = example["task"]
        row = position[task]
        position[task] += 1
        yield {
            **{name: example[name] for name in ("id", "task", "template", "prompt", "references")},
            **({"group_id": example["group_id"]} if example.get("group_id") else {}),
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
                statistics[task, way, name] = _scored(name, examples, answers[way], rows)
    return statistics


def _scored(
    metric: str, examples: Sequence[Example], answers: Answers, rows: Sequence[int]
) -> FloatArray:
    reads_nats = METRICS[metric].reads == "likelihoods"
    given = answers.nats if reads_nats else answers.texts
    return statistics_of(
        metric,
        [given[row] for row in rows],
        [examples[row]["references"] for row in rows],
        [examples[row]["prompt"] for row in rows],
    )


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
        intervals[MEAN] = interval(_macro(job, known, primary, way))
    return intervals


def _macro(
    job: Job, known: Mapping[Measured, Estimate], primary: Mapping[str, str], way: str
) -> Estimate:
    return macro_average([known[task, way, primary[task]] for task in job.means or primary])


def _compared(
    job: Job, known: Mapping[Measured, Estimate], primary: Mapping[str, str], one: str, other: str
) -> dict[str, Any]:
    macro = difference(_macro(job, known, primary, one), _macro(job, known, primary, other))
    gaps = {
        task: difference(known[task, one, name], known[task, other, name])
        for task, name in primary.items()
    }
    corrected = holm([p_value(gap) for gap in gaps.values()])
    return {
        "macro": _difference(job, macro),
        "tasks": {
            task: {"metric": primary[task], **_difference(job, gap), "p_holm": p_holm}
            for (task, gap), p_holm in zip(gaps.items(), corrected, strict=True)
        },
    }


def _difference(job: Job, gap: Estimate) -> dict[str, Any]:
    """A difference, whether it is decided, and which one this number of examples could show."""
    ends = interval(gap)
    return {
        **ends,
        "p": p_value(gap),
        "decided": not ends["low"] <= job.min_gain <= ends["high"],
        "detectable": detectable(gap),
        "needed_n": needed_examples(gap, job.min_effect) if job.min_effect else None,
    }


def _human(job: Job, task: str, examples: Sequence[Example]) -> dict[str, Any]:
    """What people score: the first reference against the others, where there are several."""
    rows = [e for e in examples if e["task"] == task and len(e["references"]) > 1]
    names = [name for name in job.metrics[task] if METRICS[name].reads != "likelihoods"]
    if not rows or not names:
        return {}
    texts = [row["references"][0] for row in rows]
    others = [row["references"][1:] for row in rows]
    sources = [row["prompt"] for row in rows]
    scored = {
        name: (statistics_of(name, texts, others, sources), METRICS[name].aggregate)
        for name in names
    }
    found = estimates(scored, job.resamples, job.seed, [row.get("group_id") for row in rows])
    return {name: interval(estimate) for name, estimate in found.items()}


def _best_in_context(
    job: Job, known: Mapping[Measured, Estimate], primary: Mapping[str, str]
) -> str | None:
    """The way with worked examples in its prompts that scores best, if there is any."""
    ways = [name for name, way in job.ways.items() if way.shots]
    return max(ways, key=lambda way: _macro(job, known, primary, way).value, default=None)


def _generation(job: Job, answers: Mapping[str, Answers]) -> dict[str, dict[str, Any]]:
    """Facts of each way's generation; its relative cost is its tokens by those of the last way."""
    entries = {way: dict(answers[way].generation) for way in job.ways}
    tokens = {way: entry["tokens_per_request"] for way, entry in entries.items()}
    last = list(tokens.values())[-1]
    for way, entry in entries.items():
        entry["relative_cost"] = round(tokens[way] / last, 3) if last else None
    return entries
