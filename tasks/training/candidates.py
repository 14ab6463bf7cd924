"""A candidate of the search: a model, trained or interpolated, and what was measured of it.

Candidate("replay", folder=".../replay", alpha=1.0, settings={"method": "full", ...},
          measured=Measured(gain=0.28, drop=0.02, ...), seconds=93.1, trainable_parameters=3738816)

Each is a stage of its own with a key of its own, and is measured once: whoever asks again gets what
is there. In MLflow each is a child run.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tasks.config.methods import Interpolate
from tasks.scoring.candidates import Measured, Measures, measure
from tasks.scoring.interpolation import TUNED, between
from tasks.scoring.job import Way, base_way, tuned_way
from tasks.stage import Artifact, Counted, Inputs, Output, logger, read_json, write_json
from tasks.training.launching import Training, train, training_stage

ALPHAS: tuple[float, ...] = Interpolate().alphas


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
    """What all candidates of a search share.

    Attributes:
        measures: What they are measured by.
        training: The training that the recipe describes.
        inputs: The stage split, and the workspace.
        folder: Where they are kept until one is chosen.
    """

    measures: Measures
    training: Training
    inputs: Inputs
    folder: Path


def document(candidate: Candidate) -> dict[str, Any]:
    """A candidate as `candidates.json` has it."""
    return {
        "name": candidate.name,
        "settings": dict(candidate.settings),
        **asdict(candidate.measured),
        "seconds": candidate.seconds,
        "trainable_parameters": candidate.trainable_parameters,
    }


def trained(bench: Bench, name: str, training: Training) -> Candidate:
    """Train and measure one candidate, unless an earlier attempt has."""
    from tasks.tracking.children import child_run  # mlflow takes seconds, and a plan needs none

    with child_run(bench.inputs.workspace, name) as run_id:
        folder = _training(bench, name, training, run_id).path.absolute()
        [measured] = _measured(bench, name, {name: tuned_way(folder)}).values()
        summary = read_json(folder / "summary.json")
        candidate = Candidate(
            name=name,
            folder=folder,
            alpha=TUNED,
            settings={
                "method": summary["method"],
                "optimizer": training.train.optimizer,
                "learning_rate": summary["learning_rate"],
                "shares": {task: part["share"] for task, part in summary["mixture"].items()},
            },
            measured=measured,
            seconds=read_json(folder / "speed.json")["seconds"],
            trainable_parameters=summary["trainable_parameters"],
        )
        _log_figures(candidate, run_id, bench.measures.metric)
    return candidate


def interpolated(bench: Bench, tuned: Candidate) -> list[Candidate]:
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
            _log_figures(candidate, run_id, bench.measures.metric)
    return candidates


def _training(bench: Bench, name: str, training: Training, run_id: str | None) -> Artifact:
    def write(section: Training, _: Inputs, output: Output) -> Counted:
        return train(section, bench.inputs, output, run_id)

    return training_stage(name, write).run(training, Inputs(bench.folder, bench.inputs.artifacts))


def _measured(bench: Bench, name: str, ways: Mapping[str, Way]) -> dict[str, Measured]:
    path = bench.folder / f"{name}.json"
    if not path.exists():
        base, split = base_way(bench.training.base_model), bench.inputs["split"]
        found = measure(bench.measures, base, ways, split, bench.folder / "measured")
        unfinished = path.with_suffix(".partial")
        write_json(unfinished, {way: asdict(measured) for way, measured in found.items()})
        os.replace(unfinished, path)
    return {way: Measured(**measured) for way, measured in read_json(path).items()}


def _log_figures(candidate: Candidate, run_id: str | None, metric: str) -> None:
    """Put a candidate's figures into the log, and into its MLflow run."""
    from tasks.tracking.children import log_child

    figures = candidate.measured
    logger.info(
        "train: %s: %s %.3f on validation (%+.3f over the base model), largest drop %+.3f (%s)%s",
        candidate.name,
        metric,
        figures.validation,
        figures.gain,
        figures.drop,
        figures.worst or "no probes",
        "" if figures.within_budget else ", beyond the budget",
    )
    numbers = {
        f"candidate/{name}": float(value)
        for name, value in document(candidate).items()
        if isinstance(value, int | float)
    }
    log_child(run_id, candidate.settings, numbers)
