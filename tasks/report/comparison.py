"""A comparison for people: one HTML page that needs nothing else, tables for terminal and Markdown.

path.write_text(page(document), encoding="utf-8")
"""

from collections.abc import Mapping
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from tasks.report.charts import line_chart
from tasks.report.curves import Curve
from tasks.report.frontier import FrontierPoint, frontier_rows, frontier_svg, with_interval
from tasks.report.grids import Grid, as_markdown
from tasks.report.pages import asset, environment, policy
from tasks.report.table import report_line

PAGE = "comparison.html.jinja"
CLAIMS = "Claims, by measurement alone"
COLOURS = {"confirmed": "green", "refuted": "red", "undecided": "yellow"}
MIB = 2**20

Json = Mapping[str, Any]


def page(document: Json) -> str:
    """The page of a comparison.

    Args:
        document: What `retune compare --json` prints.

    Returns:
        A complete HTML document.
    """
    style = asset("style.css") + asset("comparison.css")
    points = _points(document)
    curve = line_chart([_curve(document)], "Gain by training examples", "example")
    return (
        environment()
        .get_template(PAGE)
        .render(
            document=document,
            style=style,
            policy=policy(style),
            grids=[grid for grid in grids(document) if grid.title != CLAIMS],
            frontier=frontier_svg(points, document["max_drop"]),
            frontier_rows=frontier_rows(points),
            curve=curve,
        )
    )


def tables(document: Json) -> RenderableType:
    """The comparison for the terminal."""
    parts: list[RenderableType] = []
    for grid in grids(document):
        table = Table(title=escape(grid.title), title_justify="left", show_edge=False)
        for number, column in enumerate(grid.columns):
            is_claim, is_name = grid.title == CLAIMS, number == 0
            justify: Literal["left", "right"] = "left" if is_claim or is_name else "right"
            table.add_column(escape(column), justify=justify, no_wrap=is_name and not is_claim)
        for row in grid.rows:
            table.add_row(*map(_coloured, row))
        parts.append(table)
    return Group(*parts, report_line(document["report"]))


def markdown(document: Json) -> str:
    """The comparison for Prefect's page of a run, in Markdown."""
    title = f"# {document['recipe']}: ways to adapt the model"
    parts = [title, *map(as_markdown, grids(document)), f"Report: `{document['report']}`"]
    return "\n\n".join(parts) + "\n"


def grids(document: Json) -> list[Grid]:
    """The tables: ways, what they cost, learning curve, what was left out, claims."""
    learnt = ["way", document["metric"], "gain (95% interval)", "worst forgetting"]
    cost = ["way", "trained weights", "steps", "tokens", "seconds", "peak MiB", "tokens a request"]
    ways = document["ways"].items()
    curve = [[f"{p['examples']:,}", _interval(p, "gain")] for p in document["learning_curve"]]
    phrasings = document["phrasings"]
    many = [["many instead of one", _interval(phrasings, "gain")]] if phrasings else []
    claims = [[c["claim"], c["verdict"], c["evidence"]] for c in document["claims"]]
    found = [
        Grid("The ways, on the same rows and steps", learnt, [[n, *_learnt(w)] for n, w in ways]),
        Grid("What they cost", cost, [[name, *_cost(way)] for name, way in ways]),
        Grid("Full fine-tuning by training examples", ["examples", "gain (95% interval)"], curve),
        Grid("In phrasings new to the model", ["trained on", "gain (95% interval)"], many),
        Grid("Left out", ["way", "why"], [[*item] for item in document["left_out"].items()]),
        Grid(CLAIMS, ["claim", "verdict", "evidence"], claims),
    ]
    return [grid for grid in found if grid.rows]


def _learnt(way: Json) -> list[str]:
    forgetting = "-"
    if way["worst_forgetting"] is not None and way["steps"]:
        forgetting = f"{way['worst_forgetting']:+.3f} ({way['worst_probe']})"
    return [f"{way['value']:.3f}", _interval(way, "gain"), forgetting]


def _cost(way: Json) -> list[str]:
    training = [
        f"{way['trainable_parameters']:,}",
        f"{way['steps']:,}",
        f"{way['tokens']:,}",
        f"{way['seconds']:,.0f}",
        f"{way['peak_memory_bytes'] / MIB:,.0f}",
    ]
    if not way["steps"]:
        training = ["-"] * len(training)
    return [*training, f"{way['tokens_per_request']:,.0f}"]


def _interval(figure: Json, name: str) -> str:
    return with_interval(figure[name], figure["low"], figure["high"])


def _points(document: Json) -> list[FrontierPoint]:
    return [
        FrontierPoint(
            name=name,
            gain=way["gain"],
            gain_low=way["low"],
            gain_high=way["high"],
            forgetting=way["worst_forgetting"],
            forgetting_low=way["forgetting_low"],
            forgetting_high=way["forgetting_high"],
        )
        for name, way in document["ways"].items()
        if way["worst_forgetting"] is not None
    ]


def _curve(document: Json) -> Curve:
    points = [(float(p["examples"]), float(p["gain"])) for p in document["learning_curve"]]
    return Curve("gain", points)


def _coloured(cell: str) -> str:
    return f"[{COLOURS[cell]}]{cell}[/]" if cell in COLOURS else escape(cell)
