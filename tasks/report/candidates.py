"""What the search for a model that keeps what it knew came to, from `train/candidates.json`.

frontier_points([{"name": "replay", "gain": 0.28, ..., "drop": 0.02, ..., "chosen": true}])
-> [FrontierPoint("replay", gain=0.28, ..., forgetting=0.02, ..., chosen=True)]
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.report.frontier import FrontierPoint, frontier_rows
from tasks.report.grids import Grid
from tasks.stage import read_json

CANDIDATES = "candidates.json"
NO_SEARCH: Mapping[str, Any] = {"chosen": None, "candidates": []}


def read_candidates(train: Path) -> Mapping[str, Any]:
    """What a train stage wrote down of its search; no candidates where there was none."""
    path = train / CANDIDATES
    return read_json(path) if path.exists() else NO_SEARCH


def frontier_points(candidates: Sequence[Mapping[str, Any]]) -> list[FrontierPoint]:
    """Candidates as points of the learning/forgetting frontier, in order of cost."""
    return [
        FrontierPoint(
            name=candidate["name"],
            gain=candidate["gain"],
            gain_low=candidate["gain_low"],
            gain_high=candidate["gain_high"],
            forgetting=candidate["drop"],
            forgetting_low=candidate["drop_low"],
            forgetting_high=candidate["drop_high"],
            chosen=candidate["chosen"],
        )
        for candidate in candidates
    ]


def candidates_grid(candidates: Sequence[Mapping[str, Any]]) -> Grid:
    """Every candidate, in order of cost."""
    points = frontier_rows(frontier_points(candidates))
    rows = [
        [
            f"{'* ' if candidate['chosen'] else ''}{candidate['name']}",
            str(point["gain"]),
            f"{candidate['drop']:+.3f}"
            + (f" ({candidate['worst']})" if candidate["worst"] else ""),
            "kept" if candidate["within_budget"] else "broken",
        ]
        for candidate, point in zip(candidates, points, strict=True)
    ]
    columns = ["candidate", "gain (95% interval)", "largest drop", "budget"]
    return Grid("Candidates, on validation data (*: chosen)", columns, rows)


def adopted(found: Mapping[str, Any]) -> str | None:
    """The remedy that the model is from; None where it is the one that the recipe describes."""
    first = next((candidate["name"] for candidate in found["candidates"]), None)
    return None if found["chosen"] == first else str(found["chosen"])


def remarks(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What is to be said of the choice, where the first candidate did not keep the budget."""
    candidates = found["candidates"]
    if not candidates or candidates[0]["within_budget"]:
        return ()
    broken = f"the forgetting budget of {found['max_drop']:g} on validation data"
    if not found["within_budget"]:
        summary = f"None of {len(candidates)} candidates kept {broken}"
        return (f"{summary}: {found['chosen']}, which forgot least, went on.",)
    summary = f"The trained model broke {broken}: of {len(candidates)} candidates, "
    return (f"{summary}{found['chosen']} went on, which kept it.",)
