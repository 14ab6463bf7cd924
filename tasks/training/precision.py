"""Where training runs, in which arithmetic, and compiled or not."""

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from tasks.errors import BadInput


def pick_device() -> torch.device:
    """The GPU of this process where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def uses_bf16(precision: Literal["auto", "bf16", "fp32"], device: torch.device) -> bool:
    """Whether the forward pass runs in bf16: as told, or where the hardware computes in it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = torch.cpu.get_capabilities()
    return bool(flags.get("avx512_bf16") or flags.get("amx_bf16"))


def autocast(bf16: bool, device: torch.device) -> AbstractContextManager[Any]:
    """bf16 autocast, or nothing."""
    if not bf16:
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def compiled(model: PreTrainedModel, device: torch.device) -> Callable[..., Any]:
    """The model's forward pass, compiled at its first call for batches of any shape.

    Raises:
        BadInput: It runs on a CPU, and there is no C++ compiler.
    """
    compilers = (os.environ.get("CXX", "g++"), "clang++")
    if device.type == "cpu" and not any(map(shutil.which, compilers)):
        mend = "install one, name it in the variable CXX, or take train.compile out"
        raise BadInput("train.compile", "a C++ compiler", "none", mend)
    forward: Callable[..., Any] = torch.compile(model.forward, dynamic=True)
    return forward
