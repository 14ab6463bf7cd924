"""A trial: one real run with one fault at a seeded moment, judged by what is there at the end.

trial(reference, "flow killed", 7, folder)
-> Outcome("flow killed", 7, "train", after_s=1.3, survived=True, recovery_s=21.4, problem=None)
"""

import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from tasks.errors import RetuneError
from tests.chaos.faults import FAULTS
from tests.chaos.world import Reference, World

TROUBLE = (AssertionError, OSError, MlflowException, RetuneError, subprocess.SubprocessError)
LONGEST = 4000
"""Most characters of a problem that are kept: the end of a log."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        fault: Kind of fault.
        seed: Seed of all that was drawn.
        stage: The first stage of the run that had not been made before; the fault came in it.
        after_s: When after the stage's start the fault came, in seconds.
        survived: Whether the right model was registered exactly once, with nothing lost.
        recovery_s: From the fault to the end of the run that registered the model, in seconds;
            None where it did not survive.
        problem: What was wrong; None where it survived.
    """

    fault: str
    seed: int
    stage: str
    after_s: float
    survived: bool
    recovery_s: float | None
    problem: str | None


def trial(reference: Reference, fault: str, seed: int, folder: Path) -> Outcome:
    """Disturb one run, and look at what is left."""
    start = random.Random(f"{fault} {seed}").choice(FAULTS[fault].starts)
    world = World(reference, folder, start, seed)
    problem: str | None
    try:
        FAULTS[fault].disturb(world)
        ended = time.monotonic()
        problem = "; ".join(world.problems()) or None
    except TROUBLE as error:
        ended, problem = time.monotonic(), f"{type(error).__name__}: {error}"[-LONGEST:]
    finally:
        world.close()
    survived = problem is None
    seconds = round(ended - world.fault_at, 1) if survived else None
    return Outcome(fault, seed, start, round(world.after_s, 2), survived, seconds, problem)
