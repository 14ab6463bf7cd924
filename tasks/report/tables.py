"""The report's tables that are no more than text: training, data, cost, lineage.

Grid("Split", ["task", "train", ...], [["support_summary", "794", "106", "200", "0", "0"]])
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report.data_facts import TaskData
from tasks.report.facts import MadeStage
from tasks.report.grids import Grid, way_name


def training(summary: Mapping[str, Any]) -> Grid:
    """What there is to know of a training: the plain values of its `summary.json`."""
    plain = {name: value for name, value in summary.items() if isinstance(value, int | float | str)}
    rows = [[name.replace("_", " "), _plain(value)] for name, value in plain.items()]
    return Grid("Training", ["what", "value"], rows)


def mixture(tasks: Mapping[str, Mapping[str, Any]]) -> Grid:
    """What each task brought to an epoch.

    Args:
        tasks: `mixture` of the train stage's `summary.json`.
    """
    columns = ["task", "training rows", "draws an epoch", "share", "passes an epoch"]
    rows = [
        [
            f"{name} (replay)" if task["replay"] else name,
            *(_plain(task[field]) for field in ("rows", "draws")),
            f"{task['share']:.1%}",
            _plain(task["passes"]),
        ]
        for name, task in tasks.items()
    ]
    return Grid("Mixture", columns, rows)


def records(data: Sequence[TaskData]) -> Grid:
    """What became of the rows of each source."""
    columns = ["task", "rows read", "used", "rejected", "duplicates", "not chosen", "unfit"]
    counts = [
        (of.task, of.read, of.rows, of.rejected, of.duplicates, of.not_chosen, of.unfit)
        for of in data
    ]
    return _counted("Records", columns, counts)


def sides(data: Sequence[TaskData]) -> Grid:
    """What each task has on each side of the split."""
    columns = ["task", "train", "validation", "test", "left out", "near-duplicates"]
    counts = [(of.task, *of.sides.values(), of.left_out, of.near_duplicates) for of in data]
    return _counted("Split", columns, counts)


def lengths(data: Sequence[TaskData]) -> Grid:
    """How long the texts of each task are."""
    columns = ["task", "median", "95% have at most", "longest"]
    counts = [
        (f"{of.task}, {column}", found.median, found.most, found.longest)
        for of in data
        for column, found in of.lengths.items()
    ]
    return _counted("Lengths in characters", columns, counts)


def requests(generation: Mapping[str, Mapping[str, Any]]) -> Grid:
    """What a request costs with each way.

    Args:
        generation: Of the test stage's `metrics.json`.
    """
    columns = [
        *("answers of", "tokens", "relative cost"),
        *("examples fitted", "prompts cut", "answers cut"),
    ]
    rows = []
    for way, entry in generation.items():
        cost, shots = entry["relative_cost"], entry["shots"]
        fitted = f"{shots['fitted_mean']:.1f} of {shots['asked']}" if shots["asked"] else "-"
        tokens = [f"{entry['tokens_per_request']:,.0f}", "-" if cost is None else f"{cost:.2f}"]
        cut = [_plain(entry[name]) for name in ("truncated_prompts", "hit_length_limit")]
        rows.append([way_name(way), *tokens, fitted, *cut])
    return Grid("A request", columns, rows)


def durations(stages: Sequence[MadeStage]) -> Grid:
    """What each stage took."""
    rows = [[made.name, f"{made.seconds:,.1f}", _plain(made.rows)] for made in stages]
    return Grid("The run", ["stage", "seconds", "rows"], rows)


def digests(stages: Sequence[MadeStage]) -> Grid:
    """What each stage made."""
    rows = [[f"{made.name}, version {made.version}", made.digest] for made in stages]
    return Grid("Stages", ["stage", "digest of what it made"], rows)


def lineage(tags: Mapping[str, str]) -> Grid:
    """What the version was made from: its tags, those that hold JSON taken apart."""
    rows = []
    for tag, text in tags.items():
        name = tag.removeprefix("retune.").replace("_", " ")
        if text.startswith("{"):
            parts = json.loads(text)
            rows += [[f"{name}: {part}", str(value)] for part, value in parts.items()]
        else:
            rows.append([name, text])
    return Grid("Made from", ["what", "value"], rows)


def _counted(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Grid:
    return Grid(title, columns, [list(map(_plain, row)) for row in rows])


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
