"""The optimizer and the learning-rate schedule."""

import math
from typing import Any

import torch
from transformers import PreTrainedModel

from tasks.config import Train


def make_optimizer(model: torch.nn.Module, train: Train) -> torch.optim.Optimizer:
    """The recipe's optimizer over the trainable weights; biases and norms do not decay.

    AdamW: arXiv 1711.05101. Adafactor: arXiv 1804.04235, its steps scaled by the root mean
    square of each weight matrix. Muon: see `Muon`.
    """
    if train.optimizer == "muon":
        return Muon(model, train)
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in trainable if w.ndim > 1], "weight_decay": train.weight_decay},
        {"params": [w for w in trainable if w.ndim <= 1], "weight_decay": 0.0},
    ]
    used = [group for group in groups if group["params"]]
    if train.optimizer == "adafactor":
        return torch.optim.Adafactor(used, lr=train.learning_rate)
    return torch.optim.AdamW(used, lr=train.learning_rate, fused=True)


class Muon(torch.optim.Optimizer):
    """Muon for the weight matrices between the embeddings, Adafactor for everything else.

    Muon makes every update of a matrix orthogonal, so that all its directions learn at the same
    rate (https://kellerjordan.github.io/posts/muon). Embeddings and vectors are no maps between
    activations: they get Adafactor's relative steps.
    """

    def __init__(self, model: torch.nn.Module, train: Train) -> None:
        trainable = [weight for weight in model.parameters() if weight.requires_grad]
        vocabulary = _vocabulary_weights(model)
        is_inner = [w.ndim == 2 and id(w) not in vocabulary for w in trainable]
        inner = [w for w, inside in zip(trainable, is_inner, strict=True) if inside]
        outer = [w for w, inside in zip(trainable, is_inner, strict=True) if not inside]
        rate, decay = train.learning_rate, train.weight_decay
        self.parts = [
            torch.optim.Muon(inner, rate, decay),
            torch.optim.Adafactor(outer, rate),
        ]
        super().__init__(self._groups(), {})  # the parts' own: a new rate reaches them

    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of both."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of both."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the states of both."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = self._groups()


def _vocabulary_weights(model: torch.nn.Module) -> set[int]:
    """Ids of the weights that have a row for each token, or each position."""
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    if isinstance(model, PreTrainedModel):
        head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        tables += [head] if head is not None else []
    return {id(weight) for table in tables for weight in table.parameters()}


def learning_rate(step: int, num_steps: int, train: Train) -> float:
    """Learning rate of a step.

    Args:
        step: Number of the step, from 0.
        num_steps: Steps of the whole run.
        train: Peak, warm-up share and shape.
    """
    num_warmup = max(1, round(num_steps * train.warmup))
    if step < num_warmup:
        return train.learning_rate * (step + 1) / num_warmup
    if train.schedule == "constant":
        return train.learning_rate
    done = (step - num_warmup) / max(1, num_steps - num_warmup)
    if train.schedule == "cosine":
        return train.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
    return train.learning_rate * (1.0 - done)
