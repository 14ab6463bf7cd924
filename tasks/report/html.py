"""The report: one HTML file that needs nothing else, for whoever must trust the model.

    path.write_text(render(facts), encoding="utf-8")

All text of data and models is escaped by Jinja; only the charts, made of numbers, are not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.report.charts import interval_bar, line_chart
from tasks.report.facts import WAYS, Facts

TEMPLATE = "report.html.jinja"


@dataclass(frozen=True)
class Row:
    """A metric on the test split: its figure for each way, and the range that they span."""

    name: str
    by_way: Mapping[str, Mapping[str, float]]
    right: float


@dataclass(frozen=True)
class TaskRow:
    """A task's deciding metric before and after, and the change with its interval."""

    name: str
    metric: str
    base: float
    tuned: float
    gain: Mapping[str, float]


def render(facts: Facts) -> str:
    """The report of a run.

    Args:
        facts: All that it says.

    Returns:
        A complete HTML document.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ways = [way for way in WAYS if way in facts.metrics["ways"]]
    probes = facts.result["forgetting"]
    tasks = task_rows(facts.metrics)
    return environment.get_template(TEMPLATE).render(
        facts=facts,
        result=facts.result,
        ways=ways,
        way_names=WAYS,
        rows=test_rows(facts.metrics["ways"], ways),
        probes=probes,
        probe_range=change_range(probes.values()),
        tasks=tasks,
        task_range=change_range(task.gain for task in tasks),
        loss_chart=line_chart(facts.curves, "Loss over training steps"),
        bar=interval_bar,
    )


def test_rows(by_way: Mapping[str, Mapping[str, Any]], ways: Iterable[str]) -> list[Row]:
    """The test metrics by name, each with the ways that have it."""
    ways = list(ways)
    names = dict.fromkeys(name for way in ways for name in by_way[way])
    rows = []
    for name in names:
        having = {way: by_way[way][name] for way in ways if name in by_way[way]}
        rows.append(Row(name, having, max(entry["high"] for entry in having.values()) or 1.0))
    return rows


def task_rows(metrics: Mapping[str, Any]) -> list[TaskRow]:
    """Each task by its deciding metric.

    Args:
        metrics: `metrics.json` of the test stage.
    """
    gains = metrics["differences"]["tuned-base"]["tasks"]
    return [
        TaskRow(
            name=name,
            metric=entry["primary"],
            base=entry["ways"]["base"][entry["primary"]]["value"],
            tuned=entry["ways"]["tuned"][entry["primary"]]["value"],
            gain=gains[name],
        )
        for name, entry in metrics["tasks"].items()
    ]


def change_range(changes: Iterable[Mapping[str, float]]) -> tuple[float, float]:
    """The range that holds all intervals of change, and zero."""
    ends = [0.0, *(entry[end] for entry in changes for end in ("low", "high"))]
    return min(ends), max(ends) if max(ends) > min(ends) else min(ends) + 1.0
