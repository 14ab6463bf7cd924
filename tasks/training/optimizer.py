"""The optimizer and the learning-rate schedule."""

import math

import torch

from tasks.config import Train


def make_optimizer(model: torch.nn.Module, train: Train) -> torch.optim.Optimizer:
    """The recipe's optimizer over the trainable weights; biases and norms do not decay.

    Its learning rate is set before each step (`learning_rate`).

    AdamW: arXiv 1711.05101. Adafactor: arXiv 1804.04235, its steps scaled by the root mean
    square of each weight matrix.
    """
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in trainable if w.ndim > 1], "weight_decay": train.weight_decay},
        {"params": [w for w in trainable if w.ndim <= 1], "weight_decay": 0.0},
    ]
    used = [group for group in groups if group["params"]]
    if train.optimizer == "adafactor":
        return torch.optim.Adafactor(used)
    return torch.optim.AdamW(used, fused=True)


def learning_rate(step: int, num_steps: int, peak: float, train: Train) -> float:
    """Learning rate of a step.

    Args:
        step: Number of the step, from 0.
        num_steps: Steps of the whole run.
        peak: The highest.
        train: Warm-up share and shape.
    """
    num_warmup = max(1, round(num_steps * train.warmup))
    if step < num_warmup:
        return peak * (step + 1) / num_warmup
    if train.schedule == "constant":
        return peak
    done = (step - num_warmup) / max(1, num_steps - num_warmup)
    if train.schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * done))
    return peak * (1.0 - done)
