"""Peak memory, and what to do when it runs out."""

import gc
import resource
import sys
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size

from tasks.errors import BadInput, BadRecipe

SAYINGS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What CUDA and its libraries say, besides what accelerate knows."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's, torch's or Python's allocator found no room."""
    if not isinstance(error, Exception):
        return False
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in SAYINGS)
    kinds = (torch.cuda.OutOfMemoryError, MemoryError)
    return said or isinstance(error, kinds) or bool(should_reduce_batch_size(error))


def free_memory() -> None:
    """Give back what a failed attempt still holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def recompute_activations(model: Any) -> None:
    """Have a model keep few activations, and compute the others again on the way back.

    Raises:
        BadRecipe: It can't.
    """
    if not model.supports_gradient_checkpointing:
        expected = "a model that can compute its activations again"
        found = f"one that can't ({model.config.model_type})"
        raise BadRecipe("train.gradient_checkpointing", expected, found, "set it to false")
    model.activation_checkpointing_enable()


def no_room(where: str, found: str) -> BadInput:
    """The error for what does not fit, however small the micro-batch.

    Args:
        where: What was being done.
        found: What the allocator said, or how small the micro-batch was.
    """
    return BadInput(
        where,
        "room for weights, gradients, optimizer and the activations of one micro-batch",
        f"out of memory: {found}",
        "set train.gradient_checkpointing: true, lower train.micro_batch_tokens or "
        "train.max_prompt_tokens, take optimizer: adafactor or a smaller base model",
    )


def halved(parts: int, largest: int, where: str, found: str) -> tuple[int, str]:
    """In how many parts to compute each micro-batch from now on, and a sentence that says so.

    Args:
        parts: Until now.
        largest: Examples in the largest micro-batch.
        where: What was being done, for example `step 3`.
        found: What the allocator said.

    Raises:
        BadInput: They were single examples already.
    """
    if largest <= parts:
        raise no_room(f"train: {where}", found)
    told = f"from now on each micro-batch is computed in {2 * parts} parts"
    return 2 * parts, f"out of memory in {where}: {told}; the examples of a step stay the same"


def peak_memory_bytes() -> int:
    """Most memory this process has held: of the GPU where it uses one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
