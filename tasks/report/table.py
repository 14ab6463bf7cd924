"""The figures of a run as a table: for the terminal (rich) and for Prefect (Markdown).

metric    base model           few-shot             tuned
rougeL    0.052 (0.045-0.060)  0.061 (0.052-0.070)  0.343 (0.321-0.366)
"""

from collections.abc import Mapping
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tasks.home import from_here
from tasks.report.candidates import candidates_grid
from tasks.report.grids import Grid, as_markdown, cell, forgetting_grid, test_grid


def render(result: Mapping[str, Any]) -> RenderableType:
    """The result for the terminal.

    Args:
        result: The document of `retune run --json`.
    """
    parts: list[RenderableType] = []
    for grid in grids(result):
        table = Table(title=escape(grid.title), title_justify="left", show_edge=False)
        for number, column in enumerate(grid.columns):
            justify: Literal["left", "right"] = "right" if number else "left"
            table.add_column(escape(column), justify=justify, overflow="fold")  # no name is cut
        for row in grid.rows:
            table.add_row(*map(escape, row))
        parts.append(table)
    promote = result["decision"]["promote"]
    parts.append(Text(_headline(result), style="bold green" if promote else "bold yellow"))
    parts += [Text(f"  - {reason}") for reason in result["decision"]["reasons"]]
    return Group(*parts, report_line(result["report"]))


def report_line(path: str) -> Text:
    """Where the report is, on one line of whatever width, so that it can be copied."""
    return Text(f"report: {from_here(path)}", no_wrap=True, overflow="ignore")


def markdown(result: Mapping[str, Any]) -> str:
    """The result for Prefect's page of a run, in Markdown."""
    reasons = "\n".join(f"- {cell(reason)}" for reason in result["decision"]["reasons"])
    parts = [f"# {_headline(result)}", reasons, *map(as_markdown, grids(result))]
    return "\n\n".join([*parts, f"Report: `{result['report']}`"]) + "\n"


def grids(result: Mapping[str, Any]) -> list[Grid]:
    """The tables of a result: the test; forgetting and candidates where there are any."""
    probes, candidates = result["forgetting"], result.get("candidates")
    return [
        test_grid(result["test"]),
        *([forgetting_grid(probes)] if probes else []),
        *([candidates_grid(candidates)] if candidates else []),
    ]


def _headline(result: Mapping[str, Any]) -> str:
    verdict = "promoted" if result["decision"]["promote"] else "not promoted"
    return f"{result['model']} version {result['version']}: {verdict}"
