"""Estimates of what a training takes: steps, memory, time. Imports no torch.

training_memory_bytes(4_181_184, config, 2048)  ->  214_223_872
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tasks.config import Train
from tasks.config.train import CPU_MICRO_BATCH_TOKENS, Launch
from tasks.data.base_model import read_config, tensors_of
from tasks.gpus import has_gpu
from tasks.home import state_home
from tasks.room import available_memory_bytes, num_cores
from tasks.stage import read_json, read_manifest
from tasks.training.epoch_work import Work

STATE_BYTES = 4 + 4 + 8
"""A parameter in training: weight, gradient and the two moments of AdamW, all in fp32."""

LAYER_BYTES = 34
"""Activations of a transformer layer, per token and unit of width, in 16 bit, without what
attention keeps (Korthikanti et al. 2022, arXiv 2205.05198, section 4.1)."""

LOGIT_BYTES = 8
"""A logit and its gradient, in fp32."""

PADDING = 1.05
"""Tokens with padding per token without, assumed."""

PROCESS_TOKENS = 1024
"""Tokens of a step that are worth a process of their own on a CPU."""

PROCESS_BYTES = 2**30
"""What a process takes on a CPU for libraries and the like, roughly."""

WIDE_MARGIN = 3
"""Times a rough figure that is certainly enough memory, so that no forecast is needed."""

EFFICIENCY = 0.5
"""Share of the speed of matrix products alone that a training step reaches on a CPU, assumed."""


def micro_batch_tokens(train: Train, on_gpu: bool) -> int:
    """Tokens in one forward and backward pass, padding included."""
    by_hardware = train.batch_tokens if on_gpu else CPU_MICRO_BATCH_TOKENS
    return min(train.batch_tokens, train.micro_batch_tokens or by_hardware)


def most_tokens(train: Train, on_gpu: bool, packs: bool) -> int:
    """The same of what steps are made of: rows that are not packed are of one group, alike."""
    most = micro_batch_tokens(train, on_gpu)
    return most if packs else min(most, train.group_tokens)


def validation_tokens(train: Train, on_gpu: bool, packs: bool) -> int:
    """Tokens in one pass of validation.

    Of twice as many the logits alone can take more than all that training keeps of a micro-batch;
    where a GPU then runs out of memory, training would go on with smaller ones.
    """
    most = most_tokens(train, on_gpu, packs)
    return most if on_gpu else 2 * most


@dataclass(frozen=True)
class Effort:
    """What training takes, and where that is known from."""

    steps: int | None
    tokens: int | None
    seconds: float | None
    known_from: Mapping[str, str]


def measured(folder: Path) -> Effort:
    """What the training took that is reused; `folder` is its artifact."""
    summary, speed = (read_json(folder / name) for name in ("summary.json", "speed.json"))
    source = "measured by the training that is reused"
    known = {"tokens": source, "training_seconds": source}
    return Effort(summary["steps"], summary["tokens"], speed["seconds"], known)


def estimated(work: Work | None, train: Train, speed: tuple[float | None, str]) -> Effort:
    """What training may take.

    Args:
        work: What an epoch goes through; None where the data was not read.
        train: The recipe's section.
        speed: Tokens per second, and where that is known from.
    """
    if work is None:
        unread = "not known: the data was not read"
        return Effort(None, None, None, {"tokens": unread, "training_seconds": unread})
    tokens_per_s, source = speed
    steps = train.epochs * steps_per_epoch(work, train)
    taken = min(steps, train.max_steps or steps)
    tokens = train.epochs * work.tokens * taken / steps
    return Effort(
        steps=taken,
        tokens=round(tokens),
        seconds=round(tokens / tokens_per_s, 1) if tokens_per_s else None,
        known_from={
            "tokens": f"estimate: {_length(train)}, {PADDING - 1:.0%} padding in the steps",
            "training_seconds": source,
        },
    )


def _length(train: Train) -> str:
    limit = f", at most {train.max_steps:,} steps" if train.max_steps else ""
    return f"{train.epochs} epochs{limit}"


def steps_per_epoch(work: Work, train: Train) -> int:
    """About the optimizer steps of an epoch.

    Examples are padded to the longest of their group, by 5% as assumed here, and the last example
    that would not fit leaves, on average, half of its size unused.
    """
    mean_tokens = PADDING * work.tokens / work.draws
    groups = math.ceil(work.draws / max(1.0, train.group_tokens / mean_tokens - 0.5))
    return math.ceil(groups / (train.batch_tokens // train.group_tokens))


def num_parameters(folder: Path) -> int | None:
    """Parameters in a model folder, from the headers of its safetensors files.

    Returns:
        None where there are no safetensors.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return None
    return sum(int(math.prod(t["shape"])) for path in files for t in tensors_of(path).values())


def training_memory_bytes(
    parameters: int | None, config: Mapping[str, Any], batch_tokens: int
) -> int | None:
    """A rough figure of what full training takes; None where the config does not say enough.

    It tells at once whether a forecast (`tasks.training.forecast`), which takes seconds, is needed.

    Args:
        parameters: Number of parameters.
        config: The model's config.json.
        batch_tokens: Tokens in one forward and backward pass.
    """
    layers = config.get("num_layers") or config.get("num_hidden_layers") or config.get("n_layer")
    width = config.get("d_model") or config.get("hidden_size") or config.get("n_embd")
    if parameters is None or not layers or not width:
        return None
    layers += config.get("num_decoder_layers") or 0
    per_token = layers * width * LAYER_BYTES + config.get("vocab_size", 0) * LOGIT_BYTES
    return int(parameters * STATE_BYTES + batch_tokens * per_token)


def rough_memory_bytes(train: Train, base: Path) -> int | None:
    """`training_memory_bytes` for a recipe and a base model, times a wide margin."""
    micro_tokens = micro_batch_tokens(train, has_gpu())
    rough = training_memory_bytes(num_parameters(base), read_config(base), micro_tokens)
    return rough and WIDE_MARGIN * rough


def launch_of(train: Train, base: Path, reserved_bytes: int = 0) -> Launch:
    """The processes that train; where their number is left open, as many as pay on a CPU.

    Threads of a small model wait for each other more than they compute, processes do not: they
    meet once a step.

    Args:
        train: The recipe's section.
        base: The base model's folder.
        reserved_bytes: Memory that will be taken before training starts.
    """
    launch = train.launch
    if launch.processes_per_node or launch != Launch() or has_gpu():
        return launch
    rough = rough_memory_bytes(train, base)
    available = available_memory_bytes() - reserved_bytes
    fit = available // (PROCESS_BYTES + rough) if rough else 1
    processes = max(1, min(num_cores(), fit, train.batch_tokens // PROCESS_TOKENS))
    return Launch(processes_per_node=processes)


def speed_of(parameters: int | None, base_digest: str, on_gpu: bool) -> tuple[float | None, str]:
    """Tokens per second that training may reach, and where that is known from.

    That of the last training from the same base model in any workspace. Before there was one, 6
    floating-point operations per parameter and token (Kaplan et al. 2020, arXiv 2001.08361,
    section 2.1), at half of the speed that this machine reaches in matrix products. That half is
    an assumption: bf16 in hardware is faster, a very small model slower.
    """
    if last := _last_speed(base_digest):
        rate, name = last
        source = f"{rate:,.0f} tokens/s in the last training of this base model ({name})"
        return rate, f"rough estimate: {source}"
    if on_gpu:
        return None, "not known: on a GPU, it takes a first training to tell, or `--measure`"
    if parameters is None:
        return None, "not known: the number of parameters is not"
    speed = EFFICIENCY * flops_per_second()
    assumed = f"{EFFICIENCY:.0%} of this machine's {speed / EFFICIENCY / 1e9:,.0f} GFLOP/s"
    source = f"6 operations per parameter and token at an assumed {assumed} in fp32"
    return speed / (6 * parameters), f"rough estimate: {source}"


def _last_speed(base_digest: str) -> tuple[float, str] | None:
    """Tokens per second of the last training from a base model, and its workspace."""
    found = []
    for path in state_home().glob("workspaces/*/train/speed.json"):
        manifest = read_manifest(path.parent)
        if manifest and manifest["inputs"].get("base_model") == base_digest:
            rate = float(read_json(path)["tokens_per_s"])
            found.append((path.stat().st_mtime, rate, path.parents[1].name))
    return max(found)[1:] if found else None


def flops_per_second(duration_s: float = 0.2) -> float:
    """Floating-point operations per second of this machine's cores in float32 matrix products.

    The product is so small that one core does it alone, whatever else runs; the best of many is
    multiplied by the cores that training would use.
    """
    size = 64
    matrix = np.ones((size, size), np.float32)
    best, until = 0.0, time.perf_counter() + duration_s
    while (started := time.perf_counter()) < until:
        matrix @ matrix
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    allowed = num_cores()
    return best * min(allowed, psutil.cpu_count(logical=False) or allowed)
