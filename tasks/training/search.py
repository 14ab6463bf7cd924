"""The search for a model that learns its task and keeps what it knew: candidate after candidate.

`candidates.json`, in order of cost:

    {"metric": "rougeL", "max_drop": 0.05, "chosen": "interpolate 0.6", "within_budget": true,
     "left_out": {"replay": "the recipe has no `forgetting.old_tasks`"}, "candidates": [
      {"name": "interpolate 0.6", "settings": {"alpha": 0.6}, "validation": 0.31, "gain": 0.26,
       "gain_low": 0.24, "gain_high": 0.28, "worst": "dates", "drop": 0.02, "drop_low": -0.01,
       "drop_high": 0.05, "within_budget": true, "seconds": 0.0, "trainable_parameters": 0,
       "chosen": true}, ...]}

A candidate that is trained and measured is kept in the scratch folder, so a search that was killed
goes on behind it; only the chosen one's weights stay.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tasks.config import Recipe, Section
from tasks.config.forgetting import REMEDIES, Remedy
from tasks.config.methods import Interpolate
from tasks.scoring.candidates import Measured, Measures, choose, measure, measures_of
from tasks.scoring.interpolation import TUNED, between
from tasks.scoring.job import Way, base_way
from tasks.stage import Artifact, Counted, Inputs, Output, Stage, logger, read_json, write_json
from tasks.training.launching import VERSION, VOLATILE, Training, files_of, train, training_of
from tasks.training.remedies import objection, remedied

ALPHAS: tuple[float, ...] = Interpolate().alphas
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


@dataclass(frozen=True)
class Candidate:
    """A model that may go on.

    Attributes:
        name: `tuned`, a remedy's name, or `interpolate` with its alpha.
        folder: What the training left that its weights are from.
        alpha: Share of those weights, from 0 to 1; the rest is the base model's.
        settings: What sets it apart from the others.
        measured: What it learnt and forgot.
        seconds: Time of its training; 0 where it needed none of its own.
        trainable_parameters: Weights that its own training updated.
    """

    name: str
    folder: Path
    alpha: float
    settings: Mapping[str, Any]
    measured: Measured
    seconds: float
    trainable_parameters: int


@dataclass(frozen=True)
class Bench:
    """What all candidates of a search share."""

    search: Search
    training: Training
    inputs: Inputs
    folder: Path


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


def find(bench: Bench) -> tuple[Candidate, dict[str, Any]]:
    """Train and measure candidates until one is within the budget, or all of them.

    Returns:
        The one that was chosen, and the content of `candidates.json`.

    Raises:
        BadInput: A model or the examples are unusable.
        ChildFailed: A process ended abnormally.
    """
    tried = [_trained(bench, FIRST, bench.training)]
    left_out: dict[str, str] = {}
    for remedy in bench.search.remedies:
        if not bench.search.try_all and _within_budget(tried):
            break
        if reason := objection(bench.training, remedy):
            logger.warning("train: the remedy %s is left out: %s", remedy, reason)
            left_out[remedy] = reason
        elif remedy == "interpolate":
            tried += _interpolated(bench, tried[0])
        else:
            tried.append(_trained(bench, remedy, remedied(bench.training, remedy)))
    return _chosen(bench, tried, left_out)


def _within_budget(candidates: Sequence[Candidate]) -> bool:
    return any(candidate.measured.within_budget for candidate in candidates)


def _chosen(
    bench: Bench, tried: Sequence[Candidate], left_out: Mapping[str, str]
) -> tuple[Candidate, dict[str, Any]]:
    from tasks.tracking.children import mark_chosen

    name = choose({candidate.name: candidate.measured for candidate in tried})
    mark_chosen(bench.inputs.workspace, name)
    is_kept, max_drop = _within_budget(tried), bench.search.measures.max_drop
    if is_kept:
        logger.info("train: %s is chosen, of %d candidates", name, len(tried))
    else:
        told = "train: no candidate is within the budget of %g: %s is chosen, which forgot least"
        logger.warning(told, max_drop, name)
    found = {
        "metric": bench.search.measures.metric,
        "max_drop": max_drop,
        "chosen": name,
        "within_budget": is_kept,
        "left_out": dict(left_out),
        "candidates": [{**_document(c), "chosen": c.name == name} for c in tried],
    }
    return next(candidate for candidate in tried if candidate.name == name), found


def _trained(bench: Bench, name: str, training: Training) -> Candidate:
    """Train and measure one candidate, unless an earlier attempt has."""
    from tasks.tracking.children import child_run  # mlflow takes seconds, and a plan needs none

    with child_run(bench.inputs.workspace, name) as run_id:
        folder = _training(bench, name, training, run_id).path.absolute()
        [measured] = _measured(bench, name, {name: Way(model=folder / "model")}).values()
        summary = read_json(folder / "summary.json")
        candidate = Candidate(
            name=name,
            folder=folder,
            alpha=TUNED,
            settings={
                "method": summary["method"],
                "optimizer": training.train.optimizer,
                "learning_rate": training.train.peak_learning_rate,
                "shares": {task: part["share"] for task, part in summary["mixture"].items()},
            },
            measured=measured,
            seconds=read_json(folder / "speed.json")["seconds"],
            trainable_parameters=summary["trainable_parameters"],
        )
        _tell(candidate, run_id, bench.search.measures)
    return candidate


def _interpolated(bench: Bench, tuned: Candidate) -> list[Candidate]:
    """Measure weights between those of the base model and of the first candidate."""
    from tasks.tracking.children import child_run

    ways = between(base_way(bench.training.base_model), tuned.folder / "model", ALPHAS)
    candidates = [
        replace(
            tuned,
            name=f"interpolate {name}",
            alpha=ways[name].alpha,
            settings={"alpha": ways[name].alpha},
            measured=measured,
            seconds=0.0,
            trainable_parameters=0,
        )
        for name, measured in _measured(bench, "interpolate", ways).items()
    ]
    for candidate in candidates:
        with child_run(bench.inputs.workspace, candidate.name) as run_id:
            _tell(candidate, run_id, bench.search.measures)
    return candidates


def _training(bench: Bench, name: str, training: Training, run_id: str | None) -> Artifact:
    def write(section: Training, _: Inputs, output: Output) -> Counted:
        return train(section, bench.inputs, output, run_id)

    stage = Stage(name, VERSION, ("split",), training_of, write, files_of, VOLATILE)
    return stage.run(training, Inputs(bench.folder, bench.inputs.artifacts))


def _measured(bench: Bench, name: str, ways: Mapping[str, Way]) -> dict[str, Measured]:
    path = bench.folder / f"{name}.json"
    if not path.exists():
        base, split = base_way(bench.training.base_model), bench.inputs["split"]
        found = measure(bench.search.measures, base, ways, split, bench.folder / "measured")
        unfinished = path.with_suffix(".partial")
        write_json(unfinished, {way: asdict(measured) for way, measured in found.items()})
        os.replace(unfinished, path)
    return {way: Measured(**measured) for way, measured in read_json(path).items()}


def _tell(candidate: Candidate, run_id: str | None, measures: Measures) -> None:
    """Put a candidate's figures into the log, and into its MLflow run."""
    from tasks.tracking.children import log_child

    figures = candidate.measured
    logger.info(
        "train: %s: %s %.3f on validation (%+.3f over the base model), largest drop %+.3f (%s)%s",
        candidate.name,
        measures.metric,
        figures.validation,
        figures.gain,
        figures.drop,
        figures.worst or "no probes",
        "" if figures.within_budget else ", beyond the budget",
    )
    document = _document(candidate)
    metrics = {name: float(v) for name, v in document.items() if isinstance(v, int | float)}
    log_child(run_id, candidate.settings, {f"candidate/{name}": v for name, v in metrics.items()})


def _document(candidate: Candidate) -> dict[str, Any]:
    """A candidate as `candidates.json` has it."""
    return {
        "name": candidate.name,
        "settings": dict(candidate.settings),
        **asdict(candidate.measured),
        "seconds": candidate.seconds,
        "trainable_parameters": candidate.trainable_parameters,
    }
