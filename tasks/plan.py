"""What `retune plan` tells before anything runs: stages, rows, steps, memory, time.

    {"recipe": "support-chat", "stages": [{"stage": "ingest", "decision": "run", ...}, ...],
     "rows": {"support_summary": 1400}, "splits": {"train": 1061, "validation": 139, "test": 200},
     "mixture": [{"task": "support_summary", "rows": 1061, "share": 1.0, ...}], "steps": 210,
     "tokens": 812000, "training_memory_bytes": 140000000, "training_seconds": 95.0,
     "estimated_from": {"tokens": "estimate: 3 epochs, ...", ...}, ...}

Where the data was not read yet, the real stages read it into a temporary folder, so that a plan
finds what is wrong with it; the workspace stays as it is. A figure is None where there is nothing
to derive it from, and `estimated_from` says why.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from tasks.config import Recipe, Source, Train
from tasks.data.base_model import folder_of, read_config
from tasks.data.light_tokenizer import token_counts
from tasks.data.mixing import Rehearsal, draws_per_epoch
from tasks.data.sources import find_files
from tasks.data.splitting import SIDES
from tasks.errors import BadData, BadInput
from tasks.home import workspace_of
from tasks.pipeline import PIPELINE, Foreseen, foreseen
from tasks.stage import Artifact, Inputs, logger, read_json
from tasks.training.cost import (
    TaskMix,
    Work,
    estimated,
    has_gpu,
    measured,
    memory_from,
    micro_batch_tokens,
    num_parameters,
    speed_of,
    training_memory_bytes,
)
from tasks.training.search import further_trainings

NUM_DATA_STAGES = 3
"""Ingest, template and split: what a plan may run, in a temporary folder."""

LARGEST_SOURCES_BYTES = 200_000_000
"""A plan leaves sources unread that are larger than this together."""

SAMPLE_EXAMPLES = 500
"""Training examples that are tokenized, divided equally among the tasks."""


@dataclass(frozen=True)
class Plan:
    """What a run would do, and about what it would take.

    Attributes:
        recipe: Name of the recipe.
        workspace: Folder of its artifacts.
        stages: Each stage, in order.
        rows: Task -> records after ingest.
        splits: Side -> examples of all tasks.
        mixture: Each task's part of an epoch; empty where the data was not read.
        too_long_share: Share of the training examples over a length limit, in [0, 1].
        parameters: Of the base model; None where it has no safetensors.
        steps: Optimizer steps, if every epoch is run.
        tokens: Tokens trained on in all epochs, without padding.
        tokens_per_epoch: Tokens of one epoch.
        training_memory_bytes: Weights, gradients, optimizer and activations of one micro-batch; a
            rough figure that leaves out the libraries themselves.
        available_memory_bytes: Memory that this machine has left; None where training uses a GPU.
        training_seconds: Rough time of the stage train, remedies left out.
        further_trainings: Remedies that train once more each, where the budget is broken.
        estimated_from: Figure (`rows`, `tokens_per_epoch`, `tokens`, `training_memory_bytes`,
            `training_seconds`) -> where it comes from, or why it is not known.
    """

    recipe: str
    workspace: Path
    stages: Sequence[Foreseen]
    rows: Mapping[str, int | None]
    splits: Mapping[str, int | None]
    mixture: Sequence[TaskMix]
    too_long_share: float | None
    parameters: int | None
    steps: int | None
    tokens: int | None
    tokens_per_epoch: int | None
    training_memory_bytes: int | None
    available_memory_bytes: int | None
    training_seconds: float | None
    further_trainings: Sequence[str]
    estimated_from: Mapping[str, str]


def plan(recipe: Recipe) -> Plan:
    """Look at what is there and say what a run would do.

    Raises:
        BadInput: A file that a stage reads can't be used, or its rows can't.
    """
    workspace = workspace_of(recipe.name)
    # What a run reads must be there.
    digests = {stage.name: stage.files(stage.select(recipe)) for stage in PIPELINE}
    stages = foreseen(recipe, workspace)
    data = _look_at_data(recipe, workspace, stages)
    base, on_gpu = folder_of(recipe.base_model), has_gpu()
    parameters = num_parameters(base)
    micro_tokens = micro_batch_tokens(recipe.train, on_gpu)
    memory = training_memory_bytes(parameters, read_config(base), micro_tokens)
    if stages[NUM_DATA_STAGES].decision == "reuse":
        effort = measured(workspace / "train")
    else:
        speed = speed_of(parameters, digests["train"]["base_model"], on_gpu)
        effort = estimated(data.work, recipe.train, speed)
    return Plan(
        recipe=recipe.name,
        workspace=workspace,
        stages=stages,
        rows=data.rows,
        splits=data.splits,
        mixture=data.work.mixture if data.work else (),
        too_long_share=data.work.too_long_share if data.work else None,
        parameters=parameters,
        steps=effort.steps,
        tokens=effort.tokens,
        tokens_per_epoch=round(data.work.tokens) if data.work else None,
        training_memory_bytes=memory,
        available_memory_bytes=None if on_gpu else psutil.virtual_memory().available,
        training_seconds=effort.seconds,
        further_trainings=further_trainings(recipe),
        estimated_from={
            **data.known_from,
            "training_memory_bytes": memory_from(memory, micro_tokens),
            **effort.known_from,
        },
    )


def as_json(planned: Plan) -> dict[str, Any]:
    """A plan as the document that `retune plan --json` prints."""
    return {
        **vars(planned),
        "workspace": str(planned.workspace),
        "stages": [
            {"stage": stage.stage, "decision": stage.decision, "reason": stage.reason}
            for stage in planned.stages
        ],
        "mixture": [asdict(task) for task in planned.mixture],
    }


@dataclass(frozen=True)
class Data:
    """What the data says; `work` is None where it was not read."""

    rows: Mapping[str, int | None]
    splits: Mapping[str, int | None]
    work: Work | None
    known_from: dict[str, str]


def _look_at_data(recipe: Recipe, workspace: Path, stages: Sequence[Foreseen]) -> Data:
    fresh = any(stage.decision == "run" for stage in stages[:NUM_DATA_STAGES])
    reason = _why_unread(recipe) if fresh else ""
    if reason:
        is_known = stages[0].decision == "reuse"
        counted = read_json(workspace / "ingest" / "summary.json") if is_known else {}
        rows = {task.name: counted.get(task.name, {}).get("rows") for task in recipe.trained_tasks}
        known = dict.fromkeys(("rows", "tokens_per_epoch"), reason)
        return Data(rows, dict.fromkeys(SIDES), None, known)
    with _data_artifacts(recipe, workspace, stages) as made:
        summary = read_json(made["ingest"].path / "summary.json")
        num_rows, sample = sample_examples(made["split"].path / "train.parquet", recipe.split.seed)
    base = folder_of(recipe.base_model)
    lengths, counted_by = token_counts(sample, base, recipe.base_model.chat_template)
    work = work_of_epoch(recipe, num_rows, sample, lengths)
    looked_at = f"{len(sample):,} of {sum(num_rows.values()):,} training examples"
    return Data(
        rows={task.name: summary[task.name]["rows"] for task in recipe.trained_tasks},
        splits={side: int(made["split"].counts[side]) for side in SIDES},
        work=work,
        known_from={
            "rows": "counted now, reading the data" if fresh else "counted by the stages",
            "tokens_per_epoch": f"estimate: {looked_at}, {counted_by}",
        },
    )


def _why_unread(recipe: Recipe) -> str:
    """Why a plan does not read the sources; empty where it does."""
    total = 0
    for task in recipe.trained_tasks:
        size = _source_bytes(task.source)
        if size is None:
            return f"not read yet: the source of {task.name} has to be fetched first"
        total += size
    if total > LARGEST_SOURCES_BYTES:
        most = f"{LARGEST_SOURCES_BYTES / 1e6:,.0f} MB"
        return f"not read yet: the sources have {total / 1e6:,.0f} MB, a plan reads up to {most}"
    return ""


def _source_bytes(source: Source) -> int | None:
    """Size on this disk; None for what is elsewhere."""
    paths = [*source.parallel.values(), source.path, source.validation, source.test]
    if source.dvc is not None:
        local = Path(source.dvc.repo).expanduser() / source.dvc.path
        if source.dvc.rev is not None or not local.exists():
            return None
        paths.append(str(local))
    if source.hub is not None:
        return None
    total = 0
    for path in filter(None, paths):
        place = Path(path).expanduser()
        files = place.rglob("*") if place.is_dir() else find_files(path)
        total += sum(file.stat().st_size for file in files)
    return total


@contextmanager
def _data_artifacts(
    recipe: Recipe, workspace: Path, stages: Sequence[Foreseen]
) -> Iterator[dict[str, Artifact]]:
    """What the first stages make: from the workspace where valid, else made in a folder that goes.

    Raises:
        BadInput: The data can't be used.
    """
    level = logger.level
    with tempfile.TemporaryDirectory(prefix="retune-plan-") as folder:
        made: dict[str, Artifact] = {}
        logger.setLevel(logging.WARNING)  # that a stage started would be misunderstood
        try:
            for stage, seen in zip(PIPELINE[:NUM_DATA_STAGES], stages, strict=False):
                if seen.decision == "reuse" and seen.artifact:
                    made[stage.name] = seen.artifact
                else:
                    made[stage.name] = stage.run(stage.select(recipe), Inputs(Path(folder), made))
        except BadInput as error:
            raise _without_folder(error, folder, workspace) from None
        finally:
            logger.setLevel(level)
        yield made


def _without_folder(error: BadInput, folder: str, workspace: Path) -> BadInput:
    """The same error, but it does not send the user to a folder that is gone."""
    name = "ingest-rejects.jsonl"
    after = f"{workspace / name} after `retune run`"
    mended = [
        replace(issue, mend=issue.mend.replace(str(Path(folder, name)), after))
        for issue in error.issues
    ]
    return type(error).all_of(mended)


def sample_examples(path: Path, seed: int) -> tuple[dict[str, int], list[dict[str, str]]]:
    """Count the training examples and pick some, as many of each task.

    Args:
        path: `train.parquet` of the stage split.
        seed: Seed of the choice.

    Returns:
        Task -> examples; and at most 500 examples with `task`, `prompt` and `completion`.
    """
    with pq.ParquetFile(path) as file:
        tasks = np.asarray(file.read(columns=["task"])["task"].to_pylist())
        names, counts = np.unique(tasks, return_counts=True)
        shuffled = np.random.default_rng(seed).permutation(len(tasks))
        most = SAMPLE_EXAMPLES // len(names)
        chosen = np.sort(
            np.concatenate([shuffled[tasks[shuffled] == name][:most] for name in names])
        )
        sample, start = [], 0
        for batch in file.iter_batches(columns=["task", "prompt", "completion"]):
            inside = chosen[(chosen >= start) & (chosen < start + batch.num_rows)] - start
            sample += batch.take(inside).to_pylist()
            start += batch.num_rows
    return dict(zip(names.tolist(), counts.tolist(), strict=True)), sample


def work_of_epoch(
    recipe: Recipe,
    num_rows: Mapping[str, int],
    sample: Sequence[Mapping[str, str]],
    lengths: Sequence[tuple[int, int]],
) -> Work:
    """What an epoch goes through, going by a sample of the training examples.

    Args:
        recipe: The recipe.
        num_rows: Task -> training examples.
        sample: Some of them.
        lengths: Tokens of prompt and completion of each of the sample.

    Raises:
        BadData: All of the sample is over the length limits and would be left out.
    """
    train, num_too_long = recipe.train, 0.0
    usable: dict[str, int] = {}
    mean_tokens: dict[str, float] = {}
    for task in (section.name for section in recipe.trained_tasks):
        own = [size for size, row in zip(lengths, sample, strict=True) if row["task"] == task]
        kept = [count for size in own if (count := _trained_tokens(*size, train))]
        usable[task] = round(num_rows.get(task, 0) * len(kept) / max(1, len(own)))
        mean_tokens[task] = sum(kept) / max(1, len(kept))
        over = [size for size in own if _is_too_long(*size, train)]
        num_too_long += num_rows.get(task, 0) * len(over) / max(1, len(own))
    if not any(usable.values()):
        raise BadData(
            "train",
            "examples to train on",
            f"none: all {len(sample)} that were looked at are over the length limits",
            "raise train.max_prompt_tokens and train.max_completion_tokens",
        )
    rehearsal = Rehearsal.of(recipe)
    draws = draws_per_epoch(usable, recipe.mixture, rehearsal)
    total = sum(draws.values())
    mixture = [
        TaskMix(
            task=task,
            rows=num_rows.get(task, 0),
            share=round(draws[task] / total, 4),
            draws_per_epoch=draws[task],
            epochs_over_rows=round(train.epochs * draws[task] / max(1, usable[task]), 2),
            replay=rehearsal is not None and task in rehearsal.tasks,
        )
        for task in draws
    ]
    tokens = sum(draws[task] * mean_tokens[task] for task in draws)
    return Work(mixture, total, tokens, round(num_too_long / sum(num_rows.values()), 4))


def _is_too_long(prompt: int, completion: int, train: Train) -> bool:
    return prompt > train.max_prompt_tokens or completion > train.max_completion_tokens


def _trained_tokens(prompt: int, completion: int, train: Train) -> int:
    """Tokens of an example under the length limits; 0 where it is left out."""
    is_left_out = train.too_long == "drop" or completion > train.max_completion_tokens
    if is_left_out and _is_too_long(prompt, completion, train):
        return 0
    return min(prompt, train.max_prompt_tokens) + completion
