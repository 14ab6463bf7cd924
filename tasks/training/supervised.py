"""Logits of the supervised positions, and of no others.

prompt of 500 tokens, completion of 100  ->  logits of shape (100, vocabulary)

A prompt's tokens and the padding need no logits, and with a large vocabulary these are what takes
the most memory. Nothing here but `values` makes the host wait for a GPU.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tasks.training.batching import IGNORED, Batch


def predicted(
    batch: Batch, device: torch.device, forward: Callable[..., Any], head: nn.Module | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a model predicts at the supervised positions of a batch.

    Args:
        batch: The batch, on the CPU.
        device: The model's.
        forward: The model, or what wraps it.
        head: Its output layer (see `logits_at`).

    Returns:
        Logits in fp32, shape (supervised, vocabulary), and the tokens that are right, shape
        (supervised,).
    """
    labels = batch.labels.flatten()
    positions = (labels != IGNORED).nonzero().squeeze(1)  # not on a GPU, which would be waited for
    inputs = {name: _moved(tensor, device) for name, tensor in batch.inputs.items()}
    logits = logits_at(_moved(positions, device), forward, head, inputs)
    return logits.float(), _moved(labels[positions], device)


def logits_at(
    positions: torch.Tensor,
    forward: Callable[..., Any],
    head: nn.Module | None,
    inputs: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    """Logits at some positions.

    Args:
        positions: Their numbers in the flattened batch, shape (positions,).
        forward: The model, or what wraps it.
        head: Its output layer, which then sees these positions alone; None to compute the logits
            of all and to pick these.
        inputs: Its keyword arguments, on its device.

    Returns:
        Shape (positions, vocabulary).
    """
    with _sees_only(positions, head):
        logits: torch.Tensor = forward(**inputs, use_cache=False).logits
    # An output layer that is there need not be what a model calls.
    return logits if logits.dim() == 2 else logits.flatten(0, 1).index_select(0, positions)


def values(tensors: Sequence[torch.Tensor]) -> list[float]:
    """The numbers in tensors of one each, for which a GPU is waited for once."""
    numbers: list[float] = torch.stack(list(tensors)).tolist() if tensors else []
    return numbers


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@contextmanager
def _sees_only(positions: torch.Tensor, head: nn.Module | None) -> Iterator[None]:
    def pick(module: nn.Module, states: tuple[torch.Tensor]) -> torch.Tensor | None:
        if states[0].dim() != 3:  # ProphetNet's, of several tokens ahead
            return None
        return states[0].flatten(0, 1).index_select(0, positions)

    handle = head.register_forward_pre_hook(pick) if head else None
    try:
        yield
    finally:
        if handle:
            handle.remove()
