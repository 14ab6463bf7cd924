"""`kill -9` at any moment: the same command goes on, and ends in the same weights to the bit."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.training.attempts import Moment, attempt

Result = dict[str, Any]

NUM_KILLS = 8
"""In one training; there are three."""


@pytest.fixture(scope="module")
def whole(write_job: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Result:
    """What a training leaves that nobody disturbs."""
    job = write_job(tmp_path_factory.mktemp("kills") / "whole", **JOB)
    assert attempt(job)
    return result_of(job)


JOB: dict[str, Any] = {
    "epochs": 5,
    "mixture": {"strategy": "equal"},
    "learning_rate": 3e-2,
    "checkpoint_minutes": 1e-9,
}


def result_of(job: Path) -> Result:
    """Digest of the weights, and all that the loop counted."""
    import hashlib

    output = job.parent / "output"
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    weights = (output / "model" / "model.safetensors").read_bytes()
    epochs = (output / "epochs.csv").read_text(encoding="utf-8")
    return {"weights": hashlib.sha256(weights).hexdigest(), "epochs": epochs, **summary}


def moments(seed: int, victim: Literal["child", "parent", "both"]) -> list[Moment]:
    """Random moments of three kinds, the same for the same seed."""
    draw = random.Random(seed)
    kinds: list[Callable[[], Moment]] = [
        lambda: Moment("events", draw.randint(1, 30), victim),
        lambda: Moment("bytes", draw.randint(1, 300_000), victim),
        lambda: Moment("seconds", draw.uniform(0.1, 0.6), victim),
    ]
    return [kinds[number % len(kinds)]() for number in range(NUM_KILLS)]


@pytest.mark.parametrize("victim", ["child", "parent", "both"])
def test_killed_anywhere_it_ends_in_the_same_weights(
    victim: Literal["child", "parent", "both"],
    whole: Result,
    write_job: Callable[..., Path],
    tmp_path: Path,
) -> None:
    job = write_job(tmp_path / "killed", **JOB)
    scratch = job.parent / "scratch"
    half_written = 0
    for moment in moments(len(victim), victim):
        assert not attempt(job, moment), f"{moment} came too late to kill anything"
        half_written += moment.unit == "bytes" and (scratch / "checkpoint.partial").exists()
    assert half_written
    assert attempt(job)
    events = (job.parent / "events.jsonl").read_text(encoding="utf-8").splitlines()
    resumed = {json.loads(line)["step"] for line in events if '"resumed"' in line}
    assert len(resumed) >= 2, "the kills were at different steps"
    assert result_of(job) == whole
