"""Rows that changed sides."""

from typing import Any

from tasks.scoring.flips import flips


def row(name: str, base: float, tuned: float) -> dict[str, Any]:
    return {
        "id": name,
        "prompt": f"ask {name}",
        "references": ["yes"],
        "completions": {"base": "b", "tuned": "t"},
        "scores": {way: {"token_f1": s} for way, s in (("base", base), ("tuned", tuned))},
    }


def test_flips() -> None:
    rows = [row("a", 0.5, 0.4), row("b", 1.0, 0.0), row("c", 0.9, 0.6), row("d", 0.2, 0.7)]
    found = flips(rows, "token_f1")
    assert found is not None
    lost, won = found["right_to_wrong"], found["wrong_to_right"]
    assert (lost["rows"], lost["share"]) == (2, 0.5)
    assert lost["example"] == {
        "id": "b",
        "prompt": "ask b",
        "reference": "yes",
        "before": "b",
        "after": "t",
    }
    assert (won["rows"], won["example"]["id"]) == (1, "d")


def test_nothing_flipped() -> None:
    found = flips([row("a", 1.0, 1.0)], "token_f1")
    assert found == {
        side: {"rows": 0, "share": 0.0, "example": None}
        for side in ("right_to_wrong", "wrong_to_right")
    }


def test_likelihoods_know_no_right_and_wrong() -> None:
    assert flips([row("a", 1.0, 0.0)], "inverse_perplexity") is None
