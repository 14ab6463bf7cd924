"""Starts a training and follows it: what it depends on, its job file, its reports.

    {"step": 20, "loss": 2.31, "learning_rate": 0.0004, "tokens_per_s": 8123.0, "seconds": 9.8}

The work is done by `tasks.training` in a process of its own, which frees its memory by ending,
and resumes from its last checkpoint when it is started again.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tasks.config import BaseModelSection, Mixture, Recipe, Section
from tasks.config.base_model import KeyedBaseModel
from tasks.config.train import KeyedTrain, Launch
from tasks.data.base_model import folder_of, start_of
from tasks.data.light_tokenizer import token_counts
from tasks.data.mixing import Rehearsal
from tasks.data.sampling import sample_examples
from tasks.errors import BadInput, ChildFailed, OutOfMemory
from tasks.gpus import has_gpu, name_of_room
from tasks.launch import Event, launch
from tasks.progress import Bar
from tasks.room import available_memory_bytes
from tasks.stage import (
    Counted,
    Inputs,
    Output,
    Stage,
    digest_of_folder,
    logger,
    read_json,
    read_rows,
    write_json,
)
from tasks.training.cost import PROCESS_BYTES, launch_of, rough_memory_bytes
from tasks.training.epoch_work import longest_of
from tasks.training.forecast import check_fits
from tasks.training.parts import MOST_PARTS, forget_parts, note_parts, noted_parts

VERSION = "9"
VOLATILE = frozenset({"steps.jsonl", "speed.json"})

STEP_VALUES = ("loss", "learning_rate", "tokens_per_s", "seconds")
EPOCH_VALUES = ("train_loss", "validation_loss", "validation_token_accuracy")


class Training(Section):
    """What a training depends on, besides the examples."""

    base_model: KeyedBaseModel
    """The model to start from."""

    train: KeyedTrain
    """How the weights are updated."""

    mixture: Mixture
    """How several tasks share an epoch."""

    rehearsal: Rehearsal | None
    """Old tasks among the examples, and their share."""


def training_of(recipe: Recipe) -> Training:
    """The training that a recipe describes."""
    return Training(
        base_model=recipe.base_model,
        # What they come to is said elsewhere; where old tasks lie concerns earlier stages.
        train=recipe.train.model_copy(update={"replay": None, "interpolate": None}),
        mixture=recipe.mixture,
        rehearsal=Rehearsal.of(recipe),
    )


def training_stage(
    name: str, write: Callable[[Training, Inputs, Output], Counted]
) -> Stage[Training]:
    """A training with a key and a folder of its own, within the stage `train`.

    Args:
        name: Of its folder.
        write: Does it, and fills the folder.
    """
    return Stage(
        name,
        VERSION,
        needs=("split",),
        select=training_of,
        write=write,
        files=files_of,
        volatile=VOLATILE,
    )


def files_of(training: Training) -> dict[str, str]:
    """Digests of the base model, and of other weights to start from."""
    digests = {"base_model": digest_of_folder(folder_of(training.base_model))}
    if training.base_model.start_from:
        digests["start_from"] = digest_of_folder(start_of(training.base_model))
    return digests


def train(training: Training, inputs: Inputs, output: Output, run_id: str | None) -> Counted:
    """Launch the training process and follow it.

    Args:
        training: What to train, and how.
        inputs: The stage split; token ids and metrics on their way are kept in its workspace.
        output: Where the model goes, and the checkpoints.
        run_id: MLflow run of what it reports; None drops that.

    Raises:
        BadInput: The model or the examples are unusable, or memory is too small.
        ChildFailed: The process ended abnormally.
    """
    scratch = output.scratch.absolute()
    events = scratch / "events.jsonl"
    tokens = inputs.workspace / ".tokens"
    training = _that_fits(training, scratch / "job.json", inputs["split"])
    job = job_of(training, inputs["split"], tokens, output.path, scratch)
    write_json(scratch / "job.json.new", job)
    os.replace(scratch / "job.json.new", scratch / "job.json")
    with _listening(inputs.workspace, run_id, scratch / "steps.jsonl") as listen:
        processes = training.train.launch
        attempt = partial(launch, "tasks.training", scratch / "job.json", events, listen, processes)
        _within_memory(attempt, scratch)
    os.replace(scratch / "steps.jsonl", output.path / "steps.jsonl")
    summary = read_json(output.path / "summary.json")
    return Counted(summary["examples"], {name: summary[name] for name in ("steps", "tokens")})


def on_processes(training: Training, job: Path) -> Training:
    """The training with its number of processes set, where the recipe leaves it open.

    Args:
        training: What to train, and how.
        job: Job file of an earlier attempt, if any: dropout differs with the number of processes.
    """
    launch = launch_of(training.train, start_of(training.base_model))
    if launch != training.train.launch and job.exists():
        before = read_json(job)["train"]["launch"]["processes_per_node"]
        launch = Launch(processes_per_node=before)
    return _with_launch(training, launch)


def _that_fits(training: Training, job: Path, split: Path) -> Training:
    """The training with a number of processes that memory holds, before any of them starts.

    Raises:
        BadInput: It holds none; says with which changes it would.
    """
    again = on_processes(training, job)
    fewest = launch_of(training.train, start_of(training.base_model))
    try:
        _check_memory(again, split)
    except BadInput:
        if fewest.num_per_node >= again.train.launch.num_per_node:
            raise
        again = _with_launch(training, fewest)
        _check_memory(again, split)
        logger.warning(
            "memory does not hold the processes that this training began with: it goes on in %d, "
            "with another dropout", fewest.num_per_node,
        )  # fmt: skip
    return again


def _with_launch(training: Training, launch: Launch) -> Training:
    train = training.train.model_copy(update={"launch": launch})
    return training.model_copy(update={"train": train})


def _within_memory(attempt: Callable[[], None], scratch: Path) -> None:
    """Train; where memory runs out, again from the last checkpoint, in smaller micro-batches.

    Raises:
        ChildFailed: For another reason, or they are as small as helps.
    """
    while True:
        parts = noted_parts(scratch)
        try:
            return attempt()
        except ChildFailed as failure:
            if isinstance(failure, OutOfMemory) and noted_parts(scratch) == parts:
                note_parts(scratch, 2 * parts)
            if noted_parts(scratch) == parts:
                raise
            if parts >= MOST_PARTS:
                forget_parts(scratch)
                raise
            logger.warning(
                "training ran out of memory: it goes on from its last checkpoint, each micro-batch "
                "in %d parts; the examples of a step stay the same", noted_parts(scratch),
            )  # fmt: skip


def job_of(
    training: Training, split: Path, tokens: Path, output: Path, scratch: Path
) -> dict[str, Any]:
    """What the training process is told, as JSON (`tasks.training.job.TrainJob`).

    Args:
        training: What to train, and how.
        split: Artifact of the stage split.
        tokens: Where token ids are kept.
        output: Where the model goes.
        scratch: Where checkpoints and events go.
    """
    return {
        **_start(training.base_model),
        "from_scratch": training.base_model.from_scratch,
        "allow_pickle": training.base_model.allow_pickle,
        "trust_remote_code": training.base_model.trust_remote_code,
        "chat_template": training.base_model.chat_template,
        "train_file": str((split / "train.parquet").absolute()),
        "validation_file": str((split / "validation.parquet").absolute()),
        "train": training.train.model_dump(mode="json"),
        "mixture": training.mixture.model_dump(mode="json"),
        "rehearsal": training.rehearsal and training.rehearsal.model_dump(mode="json"),
        "output": str(output.absolute()),
        "scratch": str(scratch.absolute()),
        "tokens": str(tokens.absolute()),
        "events": str(scratch.absolute() / "events.jsonl"),
    }


def _check_memory(training: Training, split: Path) -> None:
    """Check that training fits into memory, before its process starts.

    Raises:
        BadInput: It does not; says with which changes it would.
    """
    base, train = start_of(training.base_model), training.train
    rough = rough_memory_bytes(train, base)
    each = train.launch.num_per_node
    if rough and not has_gpu() and each * (PROCESS_BYTES + rough) < available_memory_bytes():
        return
    sample = sample_examples(split / "train.parquet", train.seed)
    examples = [*sample.examples, *sample.long]
    lengths = token_counts(examples, base, training.base_model.chat_template).lengths
    check_fits(base, train, longest_of(lengths, train), training.base_model.trust_remote_code)


def log_curves(trained: Path, workspace: Path, run_id: str | None) -> None:
    """Log what a training reported into another MLflow run as well.

    Args:
        trained: What the training left.
        workspace: Where metrics are kept on their way.
        run_id: The run; None drops them.
    """
    from tasks.tracking.journal import follow

    with (
        follow(workspace, run_id) as journal,
        (trained / "epochs.csv").open(encoding="utf-8", newline="") as epochs,
    ):
        for row in read_rows(trained / "steps.jsonl"):
            values = {f"train/{name}": row[name] for name in STEP_VALUES}
            journal.metrics(values, row["step"])
        for row in csv.DictReader(epochs):
            values = {f"train/epoch_{name}": float(row[name]) for name in EPOCH_VALUES}
            journal.metrics(values, int(row["step"]))


def _start(base_model: BaseModelSection) -> dict[str, str | None]:
    """The weights to start from, and what an adapter is to call them on whatever machine."""
    folder = start_of(base_model).absolute()
    is_hub = base_model.hub is not None and base_model.start_from is None
    return {
        "base": str(folder),
        "base_name": base_model.hub if is_hub else folder.name,
        "base_revision": base_model.revision if is_hub else None,
    }


@contextmanager
def _listening(
    workspace: Path, run_id: str | None, steps_file: Path
) -> Iterator[Callable[[Event], None]]:
    """Passes on what the training process reports: to the bar, the log, a file and MLflow."""
    # Not at the top: a plan imports every stage, and mlflow takes seconds.
    from tasks.tracking.journal import follow
    from tasks.tracking.system import system_metrics

    name = f"train {name_of_room()}".rstrip()
    with (
        follow(workspace, run_id) as journal,
        system_metrics(journal),
        Bar(name, "loading the model") as bar,
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
                logger.info("%s: %s", name, _values_in_words(event))
            elif event["event"] == "encode":
                text = f"tokenizing  {event['examples_per_s']:,.0f} examples/s"
                bar.update(event["done"], event["total"], text)
            elif event["event"] == "warning":
                logger.warning("%s: %s", name, event["text"])
            elif event["event"] in ("start", "resumed"):
                logger.info("%s: %s %s", name, event["event"], _values_in_words(event))
                for line in _mixture_lines(event.get("mixture", {})):
                    logger.info("%s: %s", name, line)

        yield listen


def _values_in_words(event: Event) -> str:
    hidden = ("event", "time", "mixture")
    return ", ".join(f"{name} {value}" for name, value in event.items() if name not in hidden)


def _mixture_lines(mixture: Mapping[str, Any]) -> list[str]:
    """What each of several tasks brings to an epoch."""
    return [
        f"{name}{' (replay)' if task['replay'] else ''}: {task['draws']:,} draws an epoch of "
        f"{task['rows']:,} rows ({task['share']:.1%})"
        for name, task in mixture.items()
        if len(mixture) > 1
    ]
