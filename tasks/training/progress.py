"""Where training is, and the state of everything random: what a checkpoint holds besides weights.

Progress(epoch=1, epoch_step=40, step=110, best_epoch=1, best_loss=1.92, ...)
"""

import math
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


@dataclass
class Progress:
    """Where the loop is: all of it stands in a checkpoint, beside weights and optimizer.

    Attributes:
        epoch: Epoch to go on with, from 0.
        epoch_step: Step of that epoch to go on with, from 0.
        step: Optimizer steps done.
        tokens: Tokens seen, without padding.
        padded: Tokens seen, with padding.
        loss_sum: Loss of the epoch so far, summed over its supervised tokens.
        loss_tokens: Supervised tokens of the epoch so far.
        best_epoch: Epoch of the lowest validation loss, from 1; 0 before there is one.
        best_loss: That loss, in nats per token.
        epochs: One entry per finished epoch.
        seconds: Time spent in training and validation, over all attempts.
        first_loss: Loss of the first step, in nats per token; 0 before it.
        parts: Parts that each micro-batch is computed in, where memory is short.
    """

    epoch: int = 0
    epoch_step: int = 0
    step: int = 0
    tokens: int = 0
    padded: int = 0
    loss_sum: float = 0.0
    loss_tokens: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    first_loss: float = 0.0
    parts: int = 1


def random_state() -> dict[str, Any]:
    """The state of all generators that a model may draw from, as `torch.load` reads it safely."""
    version, state, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(state), gauss],
        "numpy": [name, keys.tolist(), position, has_gauss, cached],  # type: ignore[union-attr]
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing where `random_state` was asked."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
