"""The result for the terminal and for Prefect's pages."""

import io
import re

from rich.console import Console

from tasks.report import table
from tests.reporting import result


def test_table() -> None:
    console = Console(file=io.StringIO(), width=140)
    console.print(table.render(result()))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"rougeL\W+0.050 \(0.040-0.060\)\W+0.060 .*\W+0.340 \(0.330-0.350\)", shown)
    assert re.search(r"entities\W+0.810\W+0.600\W+-0.210\W+-0.250 to -0.170", shown)
    assert "summarizer version 3: not promoted" in shown
    assert "[bold]" in shown  # a reason is text, not markup
    assert "report: /home/report.html" in shown


def test_a_narrow_terminal_cuts_nothing_off() -> None:
    console = Console(file=io.StringIO(), width=60)
    told = result()
    told["report"] = f"/home/{'x' * 80}/report.html"
    told["forgetting"] = {"n" * 70: told["forgetting"].popitem()[1]}
    console.print(table.render(told), crop=False)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"report: {told['report']}\n" in shown
    assert shown.count("n" * 9) >= 3
    assert "…" not in shown


def test_markdown() -> None:
    lines = table.markdown(result("<img>")).splitlines()
    assert lines[0] == "# summarizer version 3: not promoted"
    assert "- entities fell &lt;img> [bold]" in lines
    assert "| metric | base model | few-shot | tuned |" in lines
    row = "| rougeL | 0.050 (0.040-0.060) | 0.060 (0.050-0.070) | 0.340 (0.330-0.350) |"
    assert row in lines
    assert "| exact\\|match |  |  | 0.100 (0.090-0.110) |" in lines
