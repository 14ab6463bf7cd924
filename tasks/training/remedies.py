"""Remedies for forgetting: what each of them trains instead of what the recipe describes.

remedied(training, "replay").rehearsal  ->  Rehearsal(ratio=0.02, tasks=("entities", "dates"))

`interpolate` is not among them: it trains nothing, but takes weights between those there are.
"""

from tasks.config import Train
from tasks.config.forgetting import Remedy
from tasks.config.methods import Replay
from tasks.data.mixing import Rehearsal
from tasks.training.launching import Training

REPLAY_RATIO = float(Replay.model_fields["ratio"].default)


def remedied(training: Training, remedy: Remedy) -> Training:
    """The training of a remedy, which nothing stands against (`objection`)."""
    if remedy == "replay":
        assert training.rehearsal
        rehearsal = Rehearsal(ratio=REPLAY_RATIO, tasks=training.rehearsal.tasks)
        return training.model_copy(update={"rehearsal": rehearsal})
    if remedy == "lora":
        # Optimizer and learning rate of the recipe are those of other weights.
        own = {"method": "lora", "optimizer": "adamw", "learning_rate": None}
        train = Train.model_validate(training.train.model_dump() | own)
        return training.model_copy(update={"train": train})
    assert remedy == "multi_task"
    return training.model_copy(update={"rehearsal": None})  # then old tasks are in the mixture


def objection(training: Training, remedy: Remedy) -> str | None:
    """Why a remedy can't be tried, or would train nothing new; None where it can."""
    train, rehearsal = training.train, training.rehearsal
    no_old_tasks = (rehearsal is None, "the recipe has no `forgetting.old_tasks`")
    objections = {
        "interpolate": (),
        "replay": (
            no_old_tasks,
            (rehearsal is not None and rehearsal.ratio > 0, "`train.replay` does it already"),
        ),
        "lora": (
            (train.method != "full", "`train.method` trains adapters already"),
            (train.launch.accelerate == "fsdp", "`launch.accelerate: fsdp` trains no adapters"),
        ),
        "multi_task": (
            no_old_tasks,
            (training.mixture.strategy == "weights", "`mixture.weights` has no old tasks"),
        ),
    }
    return next((why for stands, why in objections[remedy] if stands), None)
