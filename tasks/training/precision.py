"""Where training runs, in which arithmetic, and compiled or not."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from tasks.errors import BadInput
from tasks.training.model import blocks_of

ROUNDS = 8

PAYS = 1.2
"""Autocast copies weights and activations: bf16 must be this many times faster than fp32 to pay."""

CPU_COMPILERS = ("C++", "CXX", "g++", "clang++")
GPU_COMPILERS = ("C", "CC", "gcc", "clang")
"""Language, the variable that names one, and what torch and Triton look for without it."""

MOST_VARIANTS = 64
"""Compiled forms of a block: first or not, of encoder or decoder, with a mask or none, one row or
several. Beyond torch's own limit of 8 it would go on as if it were not compiled."""


def pick_device() -> torch.device:
    """The GPU of this process where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def uses_bf16(precision: Literal["auto", "bf16", "fp32"], device: torch.device) -> bool:
    """Whether the forward pass runs in bf16: as told, or where the hardware is faster in it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return has_bf16() and bf16_pays()


def has_bf16() -> bool:
    """Whether this CPU has instructions for bf16."""
    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))


def bf16_pays() -> bool:
    """Whether training is faster in bf16 than in fp32 on this CPU."""
    return bf16_speedup() > PAYS


@cache
def bf16_speedup() -> float:
    """How many times faster this CPU multiplies matrices in bf16 than in fp32, measured now.

    The instructions alone do not tell: with AMX it is several times faster, with AVX512-bf16 only
    it can take twice as long as fp32. The best of interleaved rounds, so that other work on the
    machine hits both.
    """
    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    sides = {dtype: torch.ones(512, 512, dtype=dtype) for dtype in seconds}
    for _ in range(ROUNDS):
        for dtype, side in sides.items():
            started = time.perf_counter()
            side @ side
            seconds[dtype].append(time.perf_counter() - started)
    return min(seconds[torch.float32]) / min(seconds[torch.bfloat16])


def has_amx(device: torch.device) -> bool:
    """Whether this is a CPU that multiplies matrices of fp32 in bf16 without copies of them."""
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16"))


def autocast(bf16: bool, device: torch.device) -> AbstractContextManager[Any]:
    """For a forward pass: bf16 autocast; nothing in fp32, and with AMX (see `products`)."""
    if not bf16 or has_amx(device):
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@contextmanager
def products(bf16: bool, device: torch.device) -> Iterator[None]:
    """For a forward and backward pass: with AMX, products of matrices are computed in bf16.

    So does attention (see `attention`). All else stays in fp32, and nothing is copied as by
    autocast: with a process on each of two cores, pocket-flan trained 1.01 to 1.17 times as fast.
    """
    before = torch.get_float32_matmul_precision()
    if bf16 and has_amx(device):
        torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def compile_blocks(model: PreTrainedModel, device: torch.device) -> None:
    """Have a model's blocks compiled, at the first call, for batches of any shape.

    Not the whole: what transformers finds out by looking at a batch, such as that attention needs
    no mask, it does not within a compiled model.

    Raises:
        BadInput: There is no compiler for what torch writes: in C++ for a CPU, in C for a GPU.
    """
    language, variable, *names = CPU_COMPILERS if device.type == "cpu" else GPU_COMPILERS
    named = os.environ.get(variable)
    if not any(map(shutil.which, [named] if named else names)):
        mend = f"install one, name it in the variable {variable}, or take train.compile out"
        raise BadInput("train.compile", f"a {language} compiler", "none", mend)
    torch._dynamo.config.recompile_limit = MOST_VARIANTS
    for block in blocks_of(model):
        block.compile(dynamic=True)


def not_compiled(is_compiled: bool) -> AbstractContextManager[Any]:
    """Within it, what was compiled runs as if it were not."""
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
