"""The report: one HTML file that needs nothing else, for whoever must trust the model.

path.write_text(render(facts), encoding="utf-8")
"""

import json

from tasks.report import rows, tables
from tasks.report.charts import interval_bar, line_chart
from tasks.report.examples import FABRICATION
from tasks.report.facts import Facts
from tasks.report.frontier import frontier_rows, frontier_svg
from tasks.report.grids import way_name
from tasks.report.pages import asset, environment, policy

PAGE = "report.html.jinja"

SECTIONS = {
    "verdict": "Verdict",
    "metrics": "Test",
    "training": "Training",
    "forgetting": "Forgetting",
    "candidates": "Candidates",
    "phrasings": "Prompt sensitivity",
    "data": "Data",
    "examples": "Answers side by side",
    "cost": "Cost",
    "lineage": "Lineage",
}
"""File in `templates/sections`, and its title, in the order of the page."""


def render(facts: Facts) -> str:
    """The report of a run.

    Args:
        facts: All that it says.

    Returns:
        A complete HTML document.
    """
    pages = environment()
    pages.globals |= {"bar": interval_bar, "way_name": way_name, "tables": tables}
    style, script = (asset(name) for name in ("style.css", "search.js"))
    blocks = rows.blocks(facts.metrics, facts.champion)
    gains = rows.gains(facts.metrics, facts.champion)
    task_gains = rows.task_gains(facts.metrics)
    probes = rows.probe_changes(facts.forgetting)
    champion_probes = rows.champion_changes(facts.champion)
    budget = facts.forgetting["max_drop"]
    base = facts.recipe["base_model"]
    return pages.get_template(PAGE).render(
        facts=facts,
        sections=SECTIONS,
        style=style,
        script=script,
        policy=policy(style, script),
        base_model=base["hub"] or base["path"],
        blocks=blocks,
        has_human=any(figure.kind == "human" for block in blocks for figure in block.figures),
        gains=gains,
        gain_edges=rows.edges(gains),
        task_gains=task_gains,
        task_edges=rows.edges(task_gains),
        probes=probes,
        probe_edges=rows.edges((change for change, _ in probes), -budget),
        champion_probes=champion_probes,
        champion_edges=rows.edges(champion_probes, -budget),
        loss_chart=line_chart(facts.losses, "Loss over training steps"),
        accuracy_chart=line_chart(facts.accuracies, "Accuracy over training steps"),
        frontier=frontier_svg(facts.candidates, budget),
        candidates=frontier_rows(facts.candidates),
        is_marked=any(block.metric == FABRICATION for block in blocks),
        recipe=json.dumps(facts.recipe, indent=2, ensure_ascii=False),
    )
