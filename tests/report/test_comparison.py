"""The page and the tables of a comparison."""

from io import StringIO
from typing import Any

from rich.console import Console

from tasks.report.comparison import markdown, page, tables

EVIL = "<script>alert(1)</script> | [red]x"


def way(gain: float, steps: int, forgetting: float | None) -> dict[str, Any]:
    low = None if forgetting is None else forgetting - 0.02
    high = None if forgetting is None else forgetting + 0.02
    return {
        "value": 0.2 + gain, "gain": gain, "low": gain - 0.01, "high": gain + 0.01,
        "worst_forgetting": forgetting, "forgetting_low": low, "forgetting_high": high,
        "worst_probe": EVIL if steps else None, "seconds": 61.2 if steps else 0,
        "peak_memory_bytes": 2**30 if steps else 0, "steps": steps,
        "trainable_parameters": 4_000_000 if steps else 0,
        "tokens": 500_000 if steps else 0, "tokens_per_request": 301.5,
    }  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    return {
        "recipe": "chat",
        "metric": "rougeL",
        "least": 0.02,
        "max_drop": 0.05,
        "ways": {"zero_shot": way(0.0, 0, 0.0), "full": way(0.1, 70, 0.417)},
        "left_out": {"replay": EVIL},
        "learning_curve": [
            {"examples": 125, "gain": 0.04, "low": 0.03, "high": 0.05},
            {"examples": 1794, "gain": 0.1, "low": 0.09, "high": 0.11},
        ],
        "phrasings": {"gain": 0.03, "low": 0.01, "high": 0.05},
        "claims": [{"claim": "It forgets", "verdict": "confirmed", "evidence": EVIL}],
        "report": "comparison.html",
        **changes,
    }


def printed(found: dict[str, Any]) -> str:
    out = StringIO()
    Console(file=out, width=220, force_terminal=False).print(tables(found))
    return out.getvalue()


def test_the_page_needs_nothing_and_runs_nothing() -> None:
    html = page(document())
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "http://" not in html and "https://" not in html
    assert html.count('<svg class="frontier"') == 1
    for figure in ("+0.100 (+0.090 to +0.110)", "1,794", "4,000,000", "1,024", "+0.417"):
        assert figure in html


def test_tables_show_the_same_figures() -> None:
    for text in (printed(document()), markdown(document())):
        for part in ("+0.100 (+0.090 to +0.110)", "+0.417", "confirmed", "1,794", "Left out"):
            assert part in text
    assert "[red]x" in printed(document())  # data are no markup
    assert "\\| [red]x" in markdown(document())


def test_without_probes_and_phrasings() -> None:
    found = document(
        ways={"zero_shot": way(0.0, 0, 0.0), "full": way(0.1, 70, None)},
        phrasings=None,
        left_out={},
    )
    assert "Left out" not in page(found) and "Left out" not in printed(found)
    assert "full" not in page(found).split("<ol>")[1].split("</ol>")[0]
