"""Packing: several examples in one row of a decoder-only model, each as if it were alone.

lengths [9, 4, 5]  ->  rows [[0], [2, 1]], 9 tokens each

Positions start at 0 with each example. That, with no attention mask, is how transformers knows
which tokens may see each other (`find_packed_sequence_indices` in transformers/masking_utils.py).
"""

import heapq
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from tasks.config import Train

MOST_PADDING = 0.04
"""Share of padding at which shorter rows stop paying."""

PROBE_TOKENS = 6
MOST_LEAKAGE = 1e-5
"""Largest change of a logit, relative to the largest, that is rounding and not a leak."""


def pack(lengths: Sequence[int]) -> list[list[int]]:
    """Distribute examples over rows that are short, but pad little.

    Short, since attention takes time by the square of a row's length.

    Args:
        lengths: Tokens of each example.

    Returns:
        The numbers of the examples in each row.
    """
    total = sum(lengths)
    num_rows = max(1, total // max(lengths))
    while True:
        rows = _balanced(lengths, num_rows)
        longest = max(sum(lengths[number] for number in row) for row in rows)
        if num_rows == 1 or total >= (1 - MOST_PADDING) * num_rows * longest:
            return rows
        num_rows -= max(1, num_rows // 8)


def _balanced(lengths: Sequence[int], num_rows: int) -> list[list[int]]:
    """The longest example left always goes to the shortest row (Graham 1969, the LPT rule)."""
    rows: list[list[int]] = [[] for _ in range(num_rows)]
    filled = [(0, row) for row in range(num_rows)]
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        tokens, row = filled[0]
        rows[row].append(number)
        heapq.heapreplace(filled, (tokens + lengths[number], row))
    return rows


def wants_packing(train: Train, on_gpu: bool) -> bool:
    """Whether examples are packed, if the model can keep them apart: on a GPU, or as asked for."""
    return on_gpu if train.packing is None else train.packing


@torch.no_grad()
def can_pack(model: PreTrainedModel) -> bool:
    """Whether a model keeps the examples in a row apart, found out by a trial.

    What the second example of a row gets must not depend on what the first one says. Models with
    a state that runs through the row (Mamba) or positions of their own (ALiBi) fail.

    Args:
        model: A decoder-only or an encoder-decoder model, on its device.
    """
    if model.config.is_encoder_decoder:
        return False
    vocabulary: int = model.get_input_embeddings().weight.size(0)  # type: ignore[operator]
    ids = torch.arange(2 * PROBE_TOKENS, device=model.device).remainder(vocabulary)
    other = torch.cat([ids[:PROBE_TOKENS].flip(0), ids[PROBE_TOKENS:]])
    was_training = model.training
    model.eval()  # type: ignore[no-untyped-call]
    try:
        first, second = (_second_half(model, torch.stack([row, ids])) for row in (ids, other))
    except (TypeError, ValueError):  # it takes no positions
        return False
    finally:
        model.train(was_training)
    return bool((first - second).abs().max() <= MOST_LEAKAGE * first.abs().max())


def _second_half(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Logits of the second example of the first row, with two examples in each row."""
    positions = torch.arange(PROBE_TOKENS, device=ids.device).repeat(2).expand_as(ids)
    output: Any = model(input_ids=ids, position_ids=positions, use_cache=False)
    return output.logits[0, PROBE_TOKENS:].float()  # type: ignore[no-any-return]
