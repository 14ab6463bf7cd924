"""Whether training fits into memory, known before it starts; imports no torch.

    {"footprint": {"weights": 140576768, ...}, "libraries": 470000000, "available": 900000000,
     "changes": [{"set": {"gradient_checkpointing": true}, "memory_bytes": 860000000}, ...]}

What does not fit is refused with the changes that would make it fit, those first that cost least.
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.config import Train
from tasks.errors import BadInput, Issue
from tasks.gpus import has_gpu
from tasks.launch import environment
from tasks.room import available_memory_bytes
from tasks.training.cost import launch_of, most_tokens

MIB = 2**20

LAUNCHER_BYTES = 150 * MIB
"""What torchrun, which waits for the training processes, has for itself."""

ALONE = "launch.processes_per_node"

CHANGES = 3
"""That are told of what does not fit."""


class Footprint(BaseModel):
    """What training holds at its peak besides the libraries.

    Attributes:
        parameters: Of the model, adapters included.
        trainable_parameters: Those that are trained.
        weights: Bytes of all weights.
        gradients: Bytes of the gradients.
        optimizer: Bytes of what the optimizer keeps of each weight.
        activations: Bytes of all else: activations, logits and what operations need for a moment.
    """

    model_config = ConfigDict(frozen=True)

    parameters: int
    trainable_parameters: int
    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return self.weights + self.gradients + self.optimizer + self.activations


class Change(BaseModel):
    """A change of the recipe that would make training fit.

    Attributes:
        set: Keys below `train` and their values.
        memory_bytes: What training would then take.
    """

    model_config = ConfigDict(frozen=True)

    set: dict[str, Any]
    memory_bytes: int

    @property
    def options(self) -> str:
        """The change as options of the command line."""
        pairs = (f"--set train.{key}={json.dumps(value)}" for key, value in self.set.items())
        return " ".join(pairs).replace('"', "")

    def __str__(self) -> str:
        return f"{self.options} (about {self.memory_bytes / MIB:,.0f} MiB)"


class Forecast(BaseModel):
    """What training takes, and what there is.

    Attributes:
        footprint: What training holds at its peak.
        libraries: Bytes that Python, the libraries and the tokenizer take; 0 on a GPU.
        available: Bytes that training may take.
        changes: Where it does not fit: up to three changes with which it would.
    """

    model_config = ConfigDict(frozen=True)

    footprint: Footprint
    libraries: int
    available: int
    changes: tuple[Change, ...]

    @property
    def parts(self) -> dict[str, int]:
        """What the memory is made of, in bytes."""
        parts = ("weights", "gradients", "optimizer", "activations")
        held = {name: int(getattr(self.footprint, name)) for name in parts}
        return held | {"libraries": self.libraries}

    @property
    def memory_bytes(self) -> int:
        """Peak of each training process."""
        return self.footprint.total + self.libraries

    @property
    def fits(self) -> bool:
        """Whether there is room for it."""
        return self.memory_bytes <= self.available


class ForecastJob(BaseModel):
    """What the process that forecasts is told.

    Attributes:
        folder: The base model's; of its weights nothing is read.
        train: The recipe's section.
        prompt: Tokens of the longest example's prompt.
        completion: Tokens of its completion.
        available: Bytes that training may take; None where only a GPU's driver knows.
        processes: That share them.
        trust_remote_code: Run code of the folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    train: Train
    prompt: int
    completion: int
    available: int | None
    processes: int
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Shape:
    """A micro-batch.

    Attributes:
        rows: Examples.
        prompt: Tokens of each prompt.
        completion: Tokens of each completion.
        accumulates: Whether a step has several of them, so that gradients are there before.
        fullness: Tokens that a micro-batch may have, per token of this one: shorter examples than
            the longest fill it better.
    """

    rows: int
    prompt: int
    completion: int
    accumulates: bool
    fullness: float = 1.0


def forecast(
    folder: Path,
    train: Train,
    longest: tuple[int, int] | None,
    trust_remote_code: bool = False,
    reserved_bytes: int = 0,
) -> Forecast | str:
    """What training takes on this machine, found out in a process of its own within seconds.

    Args:
        folder: The base model's.
        train: The recipe's section.
        longest: Tokens of prompt and completion of the longest example; None where they are not
            known, and the limits count.
        trust_remote_code: Run code of the folder.
        reserved_bytes: Memory of this machine that will be taken before training starts.

    Returns:
        The forecast, or why there is none.

    Raises:
        BadInput: The model can't be trained, or not in this way.
    """
    if train.method == "qlora":
        return "not known: weights in 4 bits are not forecast"
    prompt, completion = longest or (train.max_prompt_tokens, train.max_completion_tokens)
    launch = launch_of(train, folder, reserved_bytes)
    train = train.model_copy(update={"launch": launch})
    on_gpu = has_gpu()
    taken_before = reserved_bytes + LAUNCHER_BYTES
    job = ForecastJob(
        folder=folder.absolute(), train=train, prompt=prompt, completion=completion,
        available=None if on_gpu else max(0, available_memory_bytes() - taken_before),
        processes=1 if on_gpu else launch.num_per_node, trust_remote_code=trust_remote_code,
    )  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(job.model_dump_json())
        file.flush()
        command = [sys.executable, "-m", "tasks.training.footprint_main", file.name]
        done = subprocess.run(
            command, env=environment(1), capture_output=True, text=True, check=False
        )
    if done.returncode == BadInput.exit_code:
        issues = json.loads(done.stdout.splitlines()[-1])
        raise BadInput.all_of([Issue(**issue) for issue in issues])
    if done.returncode != 0:
        return f"not known: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}"
    return Forecast.model_validate_json(done.stdout.splitlines()[-1])


def check_fits(
    folder: Path, train: Train, longest: tuple[int, int] | None, trust_remote_code: bool
) -> None:
    """Check that training fits, before anything of it is loaded.

    Raises:
        BadInput: It does not; says with which changes it would.
    """
    found = forecast(folder, train, longest, trust_remote_code)
    if isinstance(found, Forecast) and not found.fits:
        processes = train.launch.num_per_node
        each = f" for each of {processes} processes" if processes > 1 else ""
        raise BadInput(
            "train",
            f"at most the {found.available / MIB:,.0f} MiB of memory that are there{each}",
            f"a need of about {found.memory_bytes / MIB:,.0f} MiB: {parts_in_words(found)}",
            mend(found),
        )


def parts_in_words(found: Forecast) -> str:
    """The parts of the memory, in words."""
    parts = (f"{name} {size / MIB:,.0f}" for name, size in found.parts.items() if size)
    return f"{', '.join(parts)} MiB"


def mend(found: Forecast) -> str:
    """What to change where it does not fit, in words."""
    if not found.changes:
        return "take a smaller base model, or a machine with more memory"
    return "it would fit with " + ", or ".join(map(str, found.changes))


def shape_of(train: Train, prompt: int, completion: int, on_gpu: bool, packs: bool) -> Shape:
    """The largest micro-batch of a process, where the longest example has these lengths, in tokens.

    Args:
        train: The recipe's section, with the processes that it trains in.
        prompt: Tokens of the longest example's prompt.
        completion: Tokens of its completion.
        on_gpu: Whether it trains on a GPU.
        packs: Whether examples are packed into rows.
    """
    tokens, launch = most_tokens(train, on_gpu, packs), train.launch
    num_batches, processes = math.ceil(train.batch_tokens / tokens), launch.num_processes
    parts = math.ceil(processes / num_batches)  # see `processes.share_of`
    budget = max(1, tokens // parts)
    rows = max(1, budget // (prompt + completion))
    fullness = max(1.0, budget / (rows * (prompt + completion)))
    has_buckets = processes > 1 and launch.accelerate == "ddp"  # which are there all the time
    accumulates = has_buckets or num_batches * parts > processes
    return Shape(rows, prompt, completion, accumulates, fullness)


def alternatives(
    train: Train, on_gpu: bool, packs: bool, processes: int
) -> Iterator[tuple[dict[str, Any], Train]]:
    """Changes of the recipe that save memory, and what it then is; those first that cost least.

    More time for the same result, then another optimizer, then adapters instead of all weights.

    Args:
        train: The recipe's section.
        on_gpu: Whether it trains on a GPU.
        packs: Whether examples are packed into rows.
        processes: That share the memory: one of them would have all of it.
    """
    micro = most_tokens(train, on_gpu, packs)
    methods: tuple[dict[str, Any], ...] = (
        {},
        {"optimizer": "adafactor"},
        {"method": "lora", "optimizer": "adamw"},
    )
    recomputed: tuple[dict[str, Any], ...] = ({}, {"gradient_checkpointing": True})
    sizes = ({}, *({"micro_batch_tokens": max(1, micro // part)} for part in (2, 4, 8)))
    alone: tuple[dict[str, Any], ...] = ({}, {ALONE: 1}) if processes > 1 else ({},)
    now = train.model_dump(mode="json")
    known: list[dict[str, Any]] = [{}]
    for parts in product(methods, alone, recomputed, sizes):
        wanted = {key: value for part in parts for key, value in part.items()}
        change = {key: value for key, value in wanted.items() if now.get(key) != value}
        if change in known:
            continue
        known.append(change)
        content = now | {key: value for key, value in change.items() if key != ALONE}
        if ALONE in change:
            content["launch"] = now["launch"] | {"processes_per_node": 1}
        try:
            yield change, Train.model_validate_json(json.dumps(content))
        except ValidationError:  # settings that exclude each other
            continue
