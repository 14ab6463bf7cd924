"""The search for a model that learns its task and keeps what it knew: candidate after candidate.

`candidates.json`, in order of cost:

    {"metric": "rougeL", "max_drop": 0.05, "chosen": "interpolate 0.6", "within_budget": true,
     "left_out": {"replay": "the recipe has no `forgetting.old_tasks`"}, "candidates": [
      {"name": "interpolate 0.6", "settings": {"alpha": 0.6}, "validation": 0.31, "gain": 0.26,
       "gain_low": 0.24, "gain_high": 0.28, "worst": "dates", "drop": 0.02, "drop_low": -0.01,
       "drop_high": 0.05, "within_budget": true, "seconds": 0.0, "trainable_parameters": 0,
       "chosen": true}, ...]}

Candidates are kept in the stage's scratch folder, so a search that was killed goes on after
those that are there; only the weights of the chosen one stay.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.config import Recipe, Section
from tasks.config.forgetting import REMEDIES, Remedy
from tasks.scoring.candidates import Measures, choose, measures_of
from tasks.stage import logger
from tasks.training.candidates import Bench, Candidate, document, interpolated, trained
from tasks.training.launching import training_of
from tasks.training.remedies import objection, remedied

FIRST = "tuned"
"""The candidate that the recipe describes."""


class Search(Section):
    """Which remedies to try, and how to judge them."""

    remedies: tuple[Remedy, ...]
    """In order of cost."""

    try_all: bool
    """Go on when the budget is kept."""

    measures: Measures
    """What candidates are measured by."""


def search_of(recipe: Recipe) -> Search | None:
    """The search that a recipe asks for, if any.

    Raises:
        BadInput: A metric, a prompt file or the suite is not usable.
    """
    wanted = recipe.forgetting
    if not wanted.remedies:
        return None
    remedies = tuple(remedy for remedy in REMEDIES if remedy in wanted.remedies)
    return Search(remedies=remedies, try_all=wanted.try_all, measures=measures_of(recipe))


def further_trainings(recipe: Recipe) -> tuple[Remedy, ...]:
    """The remedies of a recipe that train once more, in order of cost."""
    search, training = search_of(recipe), training_of(recipe)
    remedies = search.remedies if search else ()
    return tuple(
        remedy for remedy in remedies if remedy != "interpolate" and not objection(training, remedy)
    )


def find(search: Search, bench: Bench) -> tuple[Candidate, dict[str, Any]]:
    """Train and measure candidates until one is within the budget, or all of them.

    Returns:
        The one that was chosen, and the content of `candidates.json`.

    Raises:
        BadInput: A model or the examples are unusable.
        ChildFailed: A process ended abnormally.
    """
    tried = [trained(bench, FIRST, bench.training)]
    left_out: dict[str, str] = {}
    for remedy in search.remedies:
        if not search.try_all and _within_budget(tried):
            break
        if reason := objection(bench.training, remedy):
            logger.warning("train: the remedy %s is left out: %s", remedy, reason)
            left_out[remedy] = reason
        elif remedy == "interpolate":
            tried += interpolated(bench, tried[0])
        else:
            tried.append(trained(bench, remedy, remedied(bench.training, remedy)))
    return _chosen(bench, tried, left_out)


def _within_budget(candidates: Sequence[Candidate]) -> bool:
    return any(candidate.measured.within_budget for candidate in candidates)


def _chosen(
    bench: Bench, tried: Sequence[Candidate], left_out: Mapping[str, str]
) -> tuple[Candidate, dict[str, Any]]:
    from tasks.tracking.children import mark_chosen

    name = choose({candidate.name: candidate.measured for candidate in tried})
    mark_chosen(bench.inputs.workspace, name)
    is_kept, max_drop = _within_budget(tried), bench.measures.max_drop
    if is_kept:
        logger.info("train: %s is chosen, of %d candidates", name, len(tried))
    else:
        message = "train: no candidate is within the budget of %g: %s is chosen, which forgot least"
        logger.warning(message, max_drop, name)
    found = {
        "metric": bench.measures.metric,
        "max_drop": max_drop,
        "chosen": name,
        "within_budget": is_kept,
        "left_out": dict(left_out),
        "candidates": [{**document(c), "chosen": c.name == name} for c in tried],
    }
    return next(candidate for candidate in tried if candidate.name == name), found
