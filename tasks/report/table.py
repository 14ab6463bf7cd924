"""The figures of a run as a table: for the terminal (rich) and for Prefect (Markdown).

metric    base model           few-shot             tuned
rougeL    0.052 (0.045-0.060)  0.061 (0.052-0.070)  0.343 (0.321-0.366)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tasks.report.facts import WAYS


@dataclass(frozen=True)
class Grid:
    """A table: its title, the names of its columns and its cells."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def render(result: Mapping[str, Any]) -> RenderableType:
    """The result for the terminal.

    Args:
        result: The document of `retune run --json`.
    """
    parts: list[RenderableType] = []
    for grid in grids(result):
        table = Table(title=escape(grid.title), title_justify="left")
        for number, column in enumerate(grid.columns):
            table.add_column(escape(column), justify="right" if number else "left")
        for row in grid.rows:
            table.add_row(*map(escape, row))
        parts.append(table)
    promote = result["decision"]["promote"]
    parts.append(Text(_headline(result), style="bold green" if promote else "bold yellow"))
    parts += [Text(f"  - {reason}") for reason in result["decision"]["reasons"]]
    parts.append(Text(f"report: {result['report']}"))
    return Group(*parts)


def markdown(result: Mapping[str, Any]) -> str:
    """The result for Prefect's page of a run, in Markdown."""
    lines = [f"# {_headline(result)}", ""]
    lines += [f"- {_cell(reason)}" for reason in result["decision"]["reasons"]]
    for grid in grids(result):
        lines += ["", f"## {grid.title}", "", _line(grid.columns)]
        lines.append(_line(["---", *["---:"] * (len(grid.columns) - 1)]))
        lines += [_line(row) for row in grid.rows]
    lines += ["", f"Report: `{result['report']}`", ""]
    return "\n".join(lines)


def grids(result: Mapping[str, Any]) -> list[Grid]:
    """The tables of a result: the test, and forgetting where there are probes."""
    ways = [way for way in WAYS if way in result["test"]]
    metrics = dict.fromkeys(name for way in ways for name in result["test"][way])
    rows = [[name, *(_figure(result["test"][way].get(name)) for way in ways)] for name in metrics]
    found = [Grid("Test, with 95% intervals", ["metric", *(WAYS[way] for way in ways)], rows)]
    probes = result["forgetting"]
    if probes:
        rows = [[name, *_change(probe)] for name, probe in probes.items()]
        columns = ["probe", "before", "after", "change", "95% interval"]
        found.append(Grid("Forgetting", columns, rows))
    return found


def _headline(result: Mapping[str, Any]) -> str:
    promoted = result["decision"]["promote"]
    aliases = "@challenger, @champion" if promoted else "@challenger"
    verdict = "promoted" if promoted else "not promoted"
    return f"{result['model']} version {result['version']} ({aliases}): {verdict}"


def _figure(entry: Mapping[str, float] | None) -> str:
    if entry is None:
        return ""
    return f"{entry['value']:.3f} ({entry['low']:.3f}-{entry['high']:.3f})"


def _change(probe: Mapping[str, float]) -> list[str]:
    interval = f"{probe['low']:+.3f} to {probe['high']:+.3f}"
    return [f"{probe['before']:.3f}", f"{probe['after']:.3f}", f"{probe['delta']:+.3f}", interval]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
