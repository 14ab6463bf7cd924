"""Train: supervised fine-tuning of the base model on the prompt-completion pairs.

    {"step": 20, "loss": 2.31, "learning_rate": 0.0004, "tokens_per_s": 8123.0, "seconds": 9.8}

The work is done by `tasks.training` in a process of its own, which frees its memory by ending,
and resumes from its last checkpoint when it is started again.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.config import BaseModelSection, Mixture, Recipe, Section, Train
from tasks.config.base_model import KeyedBaseModel
from tasks.config.train import KeyedTrain
from tasks.data.base_model import folder_of, start_of
from tasks.data.mixing import Rehearsal
from tasks.errors import BadRecipe
from tasks.launch import Event, launch
from tasks.progress import Bar
from tasks.scoring.interpolation import TUNED, Sweep, run_sweep, sweep_of
from tasks.scoring.job import Way, base_way
from tasks.scoring.probes import digests_of
from tasks.stage import (
    MANIFEST,
    Counted,
    Inputs,
    Output,
    Stage,
    digest_of_folder,
    logger,
    write_json,
)
from tasks.stage_main import main
from tasks.training.cost import has_gpu

VERSION = "2"

STEP_VALUES = ("loss", "learning_rate", "tokens_per_s", "seconds")
EPOCH_VALUES = ("train_loss", "validation_loss", "validation_token_accuracy")


class TrainSection(Section):
    """What training depends on, besides the examples."""

    base_model: KeyedBaseModel
    """The model to start from."""

    train: KeyedTrain
    """How the weights are updated."""

    mixture: Mixture
    """How several tasks share an epoch."""

    rehearsal: Rehearsal | None
    """Old tasks among the examples, and their share."""

    sweep: Sweep | None
    """What to try between base and tuned model, and how to judge it."""


def select(recipe: Recipe) -> TrainSection:
    """The part of the recipe that training depends on.

    Raises:
        BadRecipe: This machine lacks what the method needs.
    """
    _check_method(recipe.train)
    interpolate = recipe.train.interpolate
    return TrainSection(
        base_model=recipe.base_model,
        # What they come to stands below; where old tasks lie is the concern of earlier stages.
        train=recipe.train.model_copy(update={"replay": None, "interpolate": None}),
        mixture=recipe.mixture,
        rehearsal=Rehearsal.of(recipe.train.replay),
        sweep=sweep_of(recipe, interpolate.alphas) if interpolate else None,
    )


def files(section: TrainSection) -> dict[str, str]:
    """Digests of the base model, of other weights to start from, of the probes to choose by."""
    digests = {"base_model": digest_of_folder(folder_of(section.base_model))}
    if section.base_model.start_from:
        digests["start_from"] = digest_of_folder(start_of(section.base_model))
    if section.sweep and section.sweep.probes is not None:
        digests |= digests_of(section.sweep.probes)
    return digests


def write(section: TrainSection, inputs: Inputs, output: Output) -> Counted:
    """Train; then choose among the weights between base and tuned model, where asked for."""
    if section.sweep is None:
        return _train(section, inputs, output)
    # Apart, so that another sweep or budget does not train again.
    trained = TRAINING.run(section.model_copy(update={"sweep": None}), inputs)
    base, folder = base_way(section.base_model), trained.path.absolute()
    found = run_sweep(section.sweep, base, folder / "model", inputs["split"], output.scratch)
    for line in _sweep_told(found):
        logger.info("train: %s", line)
    is_tuned = found["alpha"] == TUNED
    left_out = (MANIFEST,) if is_tuned else (MANIFEST, "model", "adapter")
    kept = shutil.ignore_patterns(*left_out)
    shutil.copytree(folder, output.path, ignore=kept, dirs_exist_ok=True)
    if not is_tuned:
        # An adapter of other weights says nothing of how far it is to the base model.
        has_adapter = (folder / "adapter").exists() and not section.base_model.start_from
        _interpolate(base, folder, has_adapter, found["alpha"], output)
    write_json(output.path / "interpolation.json", found)
    return Counted(trained.rows, trained.counts)


def _interpolate(base: Way, trained: Path, has_adapter: bool, alpha: float, output: Output) -> None:
    scratch = output.scratch.absolute()
    events = scratch / "events.jsonl"
    job = {
        "base": str(base.model),
        "allow_pickle": base.allow_pickle,
        "tuned": str(trained / "model"),
        "adapter": str(trained / "adapter") if has_adapter else None,
        "alpha": alpha,
        "output": str(output.path.absolute()),
        "events": str(events),
    }
    write_json(scratch / "interpolate.json", job)
    launch("tasks.training.interpolate", scratch / "interpolate.json", events, lambda event: None)


def _sweep_told(found: Mapping[str, Any]) -> list[str]:
    """Each candidate, the chosen one marked."""
    return [
        f"alpha {tried['alpha']:g}: validation {found['metric']} {tried['validation']:.3f}, "
        f"largest drop {tried['drop']:+.3f} ({tried['worst'] or 'no probes'})"
        f"{'' if tried['within_budget'] else ', beyond the budget'}"
        f"{', chosen' if tried['alpha'] == found['alpha'] else ''}"
        for tried in found["candidates"]
    ]


def _train(section: TrainSection, inputs: Inputs, output: Output) -> Counted:
    """Launch the training process and follow it."""
    scratch = output.scratch.absolute()
    events = scratch / "events.jsonl"
    job = {
        **_start(section.base_model),
        "from_scratch": section.base_model.from_scratch,
        "allow_pickle": section.base_model.allow_pickle,
        "chat_template": section.base_model.chat_template,
        "train_file": str((inputs["split"] / "train.parquet").absolute()),
        "validation_file": str((inputs["split"] / "validation.parquet").absolute()),
        "train": section.train.model_dump(mode="json"),
        "mixture": section.mixture.model_dump(mode="json"),
        "rehearsal": section.rehearsal and section.rehearsal.model_dump(mode="json"),
        "output": str(output.path.absolute()),
        "scratch": str(scratch),
        "tokens": str((inputs.workspace / ".tokens").absolute()),
        "events": str(events),
    }
    write_json(scratch / "job.json", job)
    with _listening(inputs.workspace, scratch / "steps.jsonl") as listen:
        launch("tasks.training", scratch / "job.json", events, listen, section.train.launch)
    os.replace(scratch / "steps.jsonl", output.path / "steps.jsonl")
    summary = json.loads((output.path / "summary.json").read_text(encoding="utf-8"))
    return Counted(summary["examples"], {name: summary[name] for name in ("steps", "tokens")})


def _start(base_model: BaseModelSection) -> dict[str, str | None]:
    """The weights to start from, and what an adapter is to call them on whatever machine."""
    folder = start_of(base_model).absolute()
    is_hub = base_model.hub is not None and base_model.start_from is None
    return {
        "base": str(folder),
        "base_name": base_model.hub if is_hub else folder.name,
        "base_revision": base_model.revision if is_hub else None,
    }


def _check_method(train: Train) -> None:
    """See that `qlora` can run here, before anything is read."""
    if train.method != "qlora":
        return
    lacking = [] if has_gpu() else ["no CUDA GPU that torch can use"]
    lacking += [] if find_spec("bitsandbytes") else ["no package bitsandbytes"]
    if lacking:
        expected = "a CUDA GPU and the package bitsandbytes"
        mend = "take `method: lora`, or a machine that has both"
        raise BadRecipe("train.method: qlora", expected, " and ".join(lacking), mend)


@contextmanager
def _listening(workspace: Path, steps_file: Path) -> Iterator[Callable[[Event], None]]:
    """Passes on what the training process reports: to the bar, the log, a file and MLflow."""
    # Not at the top: a plan imports every stage, and mlflow takes seconds.
    from tasks.tracking.journal import follow
    from tasks.tracking.run import current_run
    from tasks.tracking.system import system_metrics

    with (
        follow(workspace, current_run(workspace)) as journal,
        system_metrics(journal),
        Bar("train") as bar,
        steps_file.open("a", encoding="utf-8") as steps,
    ):

        def listen(event: Event) -> None:
            if event["event"] == "step":
                values = {name: event[name] for name in STEP_VALUES}
                steps.write(json.dumps({"step": event["step"], **values}) + "\n")
                journal.metrics({f"train/{name}": v for name, v in values.items()}, event["step"])
                text = f"epoch {event['epoch']}  loss {event['loss']:.3f}"
                rate = f"{event['tokens_per_s']:,.0f} tokens/s"
                bar.update(event["step"], event["steps"], f"{text}  {rate}")
            elif event["event"] == "epoch":
                values = {name: event[name] for name in EPOCH_VALUES}
                journal.metrics({f"train/epoch_{n}": v for n, v in values.items()}, event["step"])
                logger.info("train: %s", _told(event))
            elif event["event"] == "warning":
                logger.warning("train: %s", event["text"])
            elif event["event"] in ("start", "resumed"):
                logger.info("train: %s %s", event["event"], _told(event))
                for line in _mixture_told(event.get("mixture", {})):
                    logger.info("train: %s", line)

        yield listen


def _told(event: Event) -> str:
    hidden = ("event", "time", "mixture")
    return ", ".join(f"{name} {value}" for name, value in event.items() if name not in hidden)


def _mixture_told(mixture: Mapping[str, Any]) -> list[str]:
    """What each of several tasks brings to an epoch."""
    return [
        f"{name}{' (replay)' if task['replay'] else ''}: {task['draws']:,} draws an epoch of "
        f"{task['rows']:,} rows ({task['share']:.1%})"
        for name, task in mixture.items()
        if len(mixture) > 1
    ]


VOLATILE = frozenset({"steps.jsonl", "speed.json"})

TRAINING = Stage("training", VERSION, ("split",), select, _train, files, VOLATILE)
"""What `train` does before it chooses, with a key and a folder of its own."""

STAGE = Stage("train", VERSION, ("split",), select, write, files, VOLATILE)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
