"""How fast training is here, measured by a few real steps of it.

measured_speed(training, workspace / "split")
-> 8123.0, "measured now: 8,123 tokens/s, the median of 6 optimizer steps"
"""

import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tasks.config.train import Launch
from tasks.launch import Event, launch
from tasks.progress import Bar
from tasks.stage import write_json
from tasks.training.launching import Training, job_of, on_processes

STEPS = 6
MOST_S = 60.0
"""A trial goes on for this many steps after the first one, or seconds, whichever is less."""


class _Enough(Exception):
    """Ends the training."""


def measured_speed(training: Training, split: Path) -> tuple[float, str]:
    """Tokens per second on this machine, and a sentence that says where that is known from.

    Args:
        training: What to train, and how.
        split: Artifact of the stage split.

    Raises:
        BadInput: Training can't begin; says why.
    """
    several = training.train.launch.nodes > 1  # the others are not asked to come for this
    changes = {"max_steps": STEPS + 1} | ({"launch": Launch()} if several else {})
    short = training.model_copy(update={"train": training.train.model_copy(update=changes)})
    rates: list[float] = []
    started = time.monotonic()

    def listen(event: Event) -> None:
        if event["event"] == "step":
            rates.append(event["tokens_per_s"])
            bar.update(len(rates), STEPS + 1, f"{rates[-1]:,.0f} tokens/s")
            is_late = len(rates) > 1 and time.monotonic() - started > MOST_S
            if is_late or len(rates) > STEPS:
                raise _Enough

    with (
        Bar("plan", "training a few steps") as bar,
        tempfile.TemporaryDirectory(prefix="retune-trial-") as name,
        suppress(_Enough),
    ):
        folder = Path(name)
        job, events = folder / "job.json", folder / "events.jsonl"
        short = on_processes(short, job)
        write_json(job, job_of(short, split, folder / "tokens", folder, folder))
        launch("tasks.training", job, events, listen, short.train.launch)
    counted = rates[1:] or rates  # the first step is the slowest
    rate = statistics.median(counted)
    steps = "1 optimizer step" if len(counted) == 1 else f"{len(counted)} optimizer steps"
    return rate, f"measured now: {rate:,.0f} tokens/s, the median of {steps}"
