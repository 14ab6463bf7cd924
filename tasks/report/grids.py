"""Tables of a run's figures as text, for the terminal, for Markdown and for HTML.

Grid("Test, with 95% intervals", ["metric", "base model", "tuned"],
     [["rougeL", "0.052 (0.045-0.060)", "0.343 (0.321-0.366)"]])
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WAYS = {"base": "base model", "one_shot": "one-shot", "few_shot": "few-shot", "tuned": "tuned"}
"""The ways to get an answer that every report names, in the order of a table."""


@dataclass(frozen=True)
class Grid:
    """A table: its title, the names of its columns and its cells; the first of a row names it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def way_name(way: str) -> str:
    """What a way to get an answer is called: `few_shot_5` is "few-shot, 5 examples"."""
    if way in WAYS:
        return WAYS[way]
    name, _, number = way.rpartition("_")
    return f"{WAYS[name]}, {number} examples" if name in WAYS else way


def test_grid(test: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Grid:
    """Every metric of the test split.

    Args:
        test: Way -> metric -> value, low, high.
    """
    ways = [way for way in WAYS if way in test]
    metrics = dict.fromkeys(name for way in ways for name in test[way])
    rows = [[name, *(_figure(test[way].get(name)) for way in ways)] for name in metrics]
    return Grid("Test, with 95% intervals", ["metric", *map(way_name, ways)], rows)


def forgetting_grid(probes: Mapping[str, Mapping[str, Any]]) -> Grid:
    """What became of every probe.

    Args:
        probes: Probe -> before, after, delta, low, high.
    """
    columns = ["probe", "before", "after", "change", "95% interval"]
    return Grid("Forgetting", columns, [[name, *_change(probe)] for name, probe in probes.items()])


def as_markdown(grid: Grid) -> str:
    """A table in Markdown, under its title."""
    dashes = ["---", *["---:"] * (len(grid.columns) - 1)]
    lines = "\n".join(map(_line, (grid.columns, dashes, *grid.rows)))
    return f"## {grid.title}\n\n{lines}"


def cell(text: str) -> str:
    """A text that neither ends a table's cell nor its line, nor is taken for HTML."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def span(entry: Mapping[str, float]) -> str:
    """The interval of a change."""
    return f"{entry['low']:+.3f} to {entry['high']:+.3f}"


def _figure(entry: Mapping[str, float] | None) -> str:
    return f"{entry['value']:.3f} ({entry['low']:.3f}-{entry['high']:.3f})" if entry else ""


def _change(probe: Mapping[str, float]) -> list[str]:
    before, after, delta = probe["before"], probe["after"], probe["delta"]
    return [f"{before:.3f}", f"{after:.3f}", f"{delta:+.3f}", span(probe)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(cell, cells))} |"
