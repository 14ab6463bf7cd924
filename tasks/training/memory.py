"""How much memory was held, and what to do when it runs out: that error is told from any other."""

import gc
import os
import resource
import sys
from pathlib import Path

import torch
from accelerate.utils.memory import should_reduce_batch_size

from tasks.errors import BadInput

SAYINGS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What CUDA and its libraries say, besides what accelerate knows."""

PARTS = "parts"
"""File in the scratch folder of a training in several processes one of which ran out of memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's, torch's or Python's allocator found no room."""
    kinds = (torch.cuda.OutOfMemoryError, MemoryError)
    if isinstance(error, kinds) or (
        isinstance(error, Exception) and should_reduce_batch_size(error)
    ):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAYINGS)


def free_memory() -> None:
    """Give back what a failed attempt still holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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


def note_parts(scratch: Path, parts: int, rank: int) -> None:
    """Leave to the next attempt in how many parts each micro-batch is to be computed."""
    unfinished = scratch / f"{PARTS}.{rank}"
    unfinished.write_text(str(parts), encoding="utf-8")
    os.replace(unfinished, scratch / PARTS)


def noted_parts(scratch: Path) -> int:
    """What an earlier attempt left; 1 where none did."""
    note = scratch / PARTS
    return int(note.read_text(encoding="utf-8")) if note.exists() else 1


def peak_memory_bytes() -> int:
    """Most memory this process has held: of the GPU where it uses one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
