"""Chooses weights between base and tuned model: the best on validation within the budget.

{"alpha": 0.6, "metric": "rougeL", "max_drop": 0.05, "candidates": [
  {"alpha": 0.6, "validation": 0.31, "gain": 0.26, ..., "worst": "dates", "drop": 0.02, ...,
   "within_budget": true},
  ...]}
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.config import Section
from tasks.scoring.candidates import Measures, choose, measure
from tasks.scoring.job import Way

TUNED = 1.0
"""The tuned model itself, always a candidate."""


class Sweep(Section):
    """Which weights between base and tuned model to try, and how to judge them."""

    alphas: tuple[float, ...]
    """Shares of the tuned weights to try, besides 1."""

    measures: Measures
    """What they are measured by."""


def between(base: Way, tuned: Path, alphas: Iterable[float]) -> dict[str, Way]:
    """Alpha, as a name -> the model with that share of the tuned weights, nearest to base first."""
    return {
        f"{alpha:g}": Way(
            model=tuned,
            alpha=alpha,
            base=base.model,
            allow_pickle=base.allow_pickle,
            trust_remote_code=base.trust_remote_code,
        )
        for alpha in sorted(alphas)
    }


def run_sweep(sweep: Sweep, base: Way, tuned: Path, split: Path, scratch: Path) -> dict[str, Any]:
    """Measure every candidate, and choose; of equals, the one that is nearer to the base model.

    Args:
        sweep: What to try, and how to judge it.
        base: The base model.
        tuned: Folder of the model that was fine-tuned from it.
        split: Folder of the stage split.
        scratch: Folder for job files and scores.

    Returns:
        `alpha`, the choice; `metric`, `max_drop` and `candidates`.

    Raises:
        BadInput: A model or the examples are unusable.
        ChildFailed: A process ended abnormally.
    """
    ways = between(base, tuned, {*sweep.alphas, TUNED})
    measured = measure(sweep.measures, base, ways, split, scratch)
    return {
        "alpha": ways[choose(measured)].alpha,
        "metric": sweep.measures.metric,
        "max_drop": sweep.measures.max_drop,
        "candidates": [
            {"alpha": ways[name].alpha, **asdict(candidate)} for name, candidate in measured.items()
        ],
    }
