"""What `retune plan` reports before anything runs: stages, rows, steps, memory, time.

    {"recipe": "support-chat", "stages": [{"stage": "ingest", "decision": "run", ...}, ...],
     "rows": {"support_summary": 1400}, "splits": {"train": 1061, "validation": 139, "test": 200},
     "mixture": [{"task": "support_summary", "rows": 1061, "share": 1.0, ...}], "steps": 210,
     "tokens": 812000, "training_memory_bytes": 640000000, "fits": true, "training_seconds": 95.0,
     "estimated_from": {"tokens": "estimate: 3 epochs, ...", ...}, ...}

Where the data was not read yet, the real stages read it into a temporary folder, so that a plan
finds what is wrong with it; the workspace stays as it is. A figure is None where there is nothing
to derive it from, and `estimated_from` says why.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tasks.config import Recipe
from tasks.data.base_model import folder_of, start_of
from tasks.data.light_tokenizer import token_counts
from tasks.data.sampling import sample_examples
from tasks.data.sources import size_of
from tasks.data.splitting import SIDES
from tasks.errors import BadInput
from tasks.gpus import has_gpu
from tasks.home import workspace_of
from tasks.pipeline import PIPELINE, Foreseen, foreseen
from tasks.progress import Bar
from tasks.stage import Artifact, Inputs, logger, read_json
from tasks.training.cost import estimated, launch_of, measured, num_parameters, speed_of
from tasks.training.epoch_work import TaskMix, Work, work_of_epoch
from tasks.training.forecast import Change, Forecast, forecast, parts_in_words
from tasks.training.launching import training_of
from tasks.training.search import further_trainings
from tasks.training.trial import measured_speed

NUM_DATA_STAGES = 3
"""Ingest, template and split: what a plan may run, in a temporary folder."""

RUN_BYTES = 120 * 2**20
"""What `retune run` holds when training starts, more than a plan does: the flow's libraries."""

LARGEST_SOURCES_BYTES = 200_000_000
"""A plan leaves sources unread that are larger than this together."""


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
        truncated_share: Share of them whose prompt is cut; the others over a limit are left out.
        parameters: Of the base model.
        trainable_parameters: Those that the method trains.
        steps: Optimizer steps, if every epoch is run.
        tokens: Tokens trained on in all epochs, without padding.
        tokens_per_epoch: Tokens of one epoch.
        supervised_tokens_per_epoch: Those of them that carry loss.
        stop_token_trained: Whether every completion ends with the token that stops generation.
        training_memory_bytes: Peak of a training process.
        memory: What it is made of, in bytes: `weights`, `gradients`, `optimizer`, `activations`,
            `libraries`.
        available_memory_bytes: What training may take, of the GPU where it uses one.
        fits: Whether it is enough; `run` refuses to train otherwise.
        changes: Where it is not: up to three changes of the recipe with which it would be.
        training_seconds: Time of the stage train, remedies left out.
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
    truncated_share: float | None
    parameters: int | None
    trainable_parameters: int | None
    steps: int | None
    tokens: int | None
    tokens_per_epoch: int | None
    supervised_tokens_per_epoch: int | None
    stop_token_trained: bool | None
    training_memory_bytes: int | None
    memory: Mapping[str, int]
    available_memory_bytes: int | None
    fits: bool | None
    changes: Sequence[Change]
    training_seconds: float | None
    further_trainings: Sequence[str]
    estimated_from: Mapping[str, str]


def plan(recipe: Recipe, measure: bool = False, server_bytes: int = 0) -> Plan:
    """Look at what is there and say what a run would do.

    Args:
        recipe: The recipe.
        measure: Train for a few steps to tell the time, where the data can be read.
        server_bytes: Memory of a server that the run will start for itself.

    Raises:
        BadInput: A file that a stage reads can't be used, or its rows can't.
    """
    workspace = workspace_of(recipe.name)
    logger.info("plan: looking at data and base model")
    # What a run reads must be there.
    digests = {stage.name: stage.files(stage.select(recipe)) for stage in PIPELINE}
    stages = foreseen(recipe, workspace)
    is_trained = stages[NUM_DATA_STAGES].decision == "reuse"
    data = _look_at_data(recipe, workspace, stages, measure and not is_trained)
    work, base = data.work, folder_of(recipe.base_model)
    trained = workspace / "train" if is_trained else None
    memory = _memory(recipe, work, trained, RUN_BYTES + server_bytes)
    parameters = num_parameters(base) or memory.parameters
    if is_trained:
        effort = measured(workspace / "train")
    else:
        speed = data.speed or speed_of(parameters, digests["train"]["base_model"], has_gpu())
        effort = estimated(work, recipe.train, speed)
    return Plan(
        recipe=recipe.name,
        workspace=workspace,
        stages=stages,
        rows=data.rows,
        splits=data.splits,
        mixture=work.mixture if work else (),
        too_long_share=work.too_long_share if work else None,
        truncated_share=work.truncated_share if work else None,
        parameters=parameters,
        trainable_parameters=memory.trainable_parameters,
        steps=effort.steps,
        tokens=effort.tokens,
        tokens_per_epoch=round(work.tokens) if work else None,
        supervised_tokens_per_epoch=round(work.supervised_tokens) if work else None,
        stop_token_trained=data.stops,
        training_memory_bytes=memory.total,
        memory=memory.parts,
        available_memory_bytes=memory.available,
        fits=memory.fits,
        changes=memory.changes,
        training_seconds=effort.seconds,
        further_trainings=further_trainings(recipe),
        estimated_from={
            **data.known_from,
            "training_memory_bytes": memory.known_from,
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
        "changes": [change.model_dump() for change in planned.changes],
    }


@dataclass(frozen=True)
class Data:
    """What the data says; `work`, `stops` and `speed` are None where it was not read."""

    rows: Mapping[str, int | None]
    splits: Mapping[str, int | None]
    work: Work | None
    stops: bool | None
    speed: tuple[float, str] | None
    known_from: dict[str, str]


@dataclass(frozen=True)
class Memory:
    """What is known of the memory of training, and from where."""

    total: int | None
    known_from: str
    parts: Mapping[str, int] = field(default_factory=dict)
    available: int | None = None
    fits: bool | None = None
    changes: Sequence[Change] = ()
    parameters: int | None = None
    trainable_parameters: int | None = None


def _memory(recipe: Recipe, work: Work | None, trained: Path | None, reserved_bytes: int) -> Memory:
    """What training takes, or took where its artifact is reused."""
    if trained:
        summary, speed = (read_json(trained / name) for name in ("summary.json", "speed.json"))
        return Memory(
            total=speed.get("peak_memory_bytes"),
            known_from="measured by the training that is reused",
            trainable_parameters=summary.get("trainable_parameters"),
        )
    base, longest = recipe.base_model, work.longest if work else None
    start = start_of(base)
    with Bar("plan", "forecasting the memory of training"):
        found = forecast(start, recipe.train, longest, base.trust_remote_code, reserved_bytes)
    if not isinstance(found, Forecast):
        return Memory(None, found)
    footprint = found.footprint
    processes = launch_of(recipe.train, start, reserved_bytes).num_per_node
    each = f" in each of {processes} processes" if processes > 1 else ""
    return Memory(
        total=found.memory_bytes,
        known_from=f"forecast of the largest micro-batch{each}: {parts_in_words(found)}",
        parts=found.parts,
        available=found.available,
        fits=found.fits,
        changes=found.changes,
        parameters=footprint.parameters,
        trainable_parameters=footprint.trainable_parameters,
    )


def _look_at_data(
    recipe: Recipe, workspace: Path, stages: Sequence[Foreseen], measure: bool
) -> Data:
    fresh = any(stage.decision == "run" for stage in stages[:NUM_DATA_STAGES])
    reason = _why_unread(recipe) if fresh else ""
    if reason:
        is_known = stages[0].decision == "reuse"
        counted = read_json(workspace / "ingest" / "summary.json") if is_known else {}
        rows = {task.name: counted.get(task.name, {}).get("rows") for task in recipe.trained_tasks}
        known = dict.fromkeys(("rows", "tokens_per_epoch"), reason)
        return Data(rows, dict.fromkeys(SIDES), None, None, None, known)
    base = folder_of(recipe.base_model)
    with _data_artifacts(recipe, workspace, stages) as made:
        summary = read_json(made["ingest"].path / "summary.json")
        sample = sample_examples(made["split"].path / "train.parquet", recipe.split.seed)
        examples = [*sample.examples, *sample.long]
        counts = token_counts(examples, base, recipe.base_model.chat_template)
        work = work_of_epoch(recipe, sample, counts.lengths)
        split = made["split"].path
        speed = measured_speed(training_of(recipe), split) if measure else None
    looked_at = f"{len(sample.examples):,} of {sum(sample.num_rows.values()):,} training examples"
    return Data(
        rows={task.name: summary[task.name]["rows"] for task in recipe.trained_tasks},
        splits={side: int(made["split"].counts[side]) for side in SIDES},
        work=work,
        stops=counts.all_stop,
        speed=speed,
        known_from={
            "rows": "counted now, reading the data" if fresh else "counted by the stages",
            "tokens_per_epoch": f"estimate: {looked_at}, {counts.how}",
        },
    )


def _why_unread(recipe: Recipe) -> str:
    """Why a plan does not read the sources; empty where it does."""
    total = 0
    for task in recipe.trained_tasks:
        size = size_of(task.source)
        if size is None:
            return f"not read yet: the source of {task.name} has to be fetched first"
        total += size
    if total > LARGEST_SOURCES_BYTES:
        most = f"{LARGEST_SOURCES_BYTES / 1e6:,.0f} MB"
        return f"not read yet: the sources have {total / 1e6:,.0f} MB, a plan reads up to {most}"
    return ""


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
