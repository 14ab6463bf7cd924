"""Batches by a budget of tokens, of examples alike in length, in an order fixed by the seed.

lengths [12, 200, 14, 190], budget 420  ->  [[0, 2], [1, 3]]
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tasks.training.examples import Examples

IGNORED = -100
"""Label of a position that carries no loss (torch.nn.functional.cross_entropy)."""

POOL_BATCHES = 100
"""Batches that are sorted by length together: more pad less, fewer shuffle better."""


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes:
        inputs: Keyword arguments of the model's forward pass: `input_ids` and `attention_mask`,
            shape (batch, prompt tokens), and for an encoder-decoder `decoder_input_ids`, shape
            (batch, completion tokens).
        labels: Next tokens, shape of the logits less their last axis; -100 where no loss is.
        num_supervised: Labels that carry loss.
        num_tokens: Tokens without padding.
        num_padded: Tokens with padding.
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    num_supervised: int
    num_tokens: int
    num_padded: int


def epoch_rows(
    examples: Examples, draws: Mapping[str, int], seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Which examples an epoch uses, in random order.

    Every task gives `draws` examples: all of its rows in turn, shuffled anew for each pass, so
    that over the epochs each row is used equally often.

    Args:
        examples: The pairs.
        draws: Task -> examples an epoch draws of it.
        seed: Seed of the order.
        epoch: Number of the epoch, from 0.

    Returns:
        Row numbers, shape (sum of draws,).
    """
    chosen = []
    for number, task in enumerate(sorted(draws)):
        rows = np.flatnonzero(examples.tasks == task)
        first, last = epoch * draws[task], (epoch + 1) * draws[task]
        passes = range(first // len(rows), -(-last // len(rows))) if len(rows) else range(0)
        shuffled = [
            np.random.default_rng([seed, number, turn]).permutation(rows) for turn in passes
        ]
        if shuffled:
            start = first - passes.start * len(rows)
            chosen.append(np.concatenate(shuffled)[start : start + draws[task]])
    order = np.random.default_rng([seed, epoch]).permutation(sum(map(len, chosen)))
    return np.concatenate(chosen)[order]


def batch_rows(
    rows: npt.NDArray[np.int64], examples: Examples, budget: int, seed: int
) -> list[npt.NDArray[np.int64]]:
    """Group rows into batches.

    Args:
        rows: Row numbers, shape (rows,).
        examples: The pairs.
        budget: Tokens in a batch, with padding; an example over it is a batch of its own.
        seed: Seed of the order of batches.

    Returns:
        The batches' row numbers.
    """
    prompts, completions = examples.prompts.lengths, examples.completions.lengths
    mean_length = float((prompts[rows] + completions[rows]).mean())
    pool_size = max(1, int(POOL_BATCHES * budget / mean_length))
    batches: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(rows), pool_size):
        pool = rows[start : start + pool_size]
        # Completions first, coarsely: a long one among short ones pads all of them.
        pool = pool[np.lexsort((prompts[pool], np.ceil(2 * np.log2(completions[pool]))))]
        batches.extend(_within_budget(pool, prompts, completions, budget))
    order = np.random.default_rng(seed).permutation(len(batches))
    return [batches[number] for number in order]


def _within_budget(
    pool: npt.NDArray[np.int64],
    prompts: npt.NDArray[np.int64],
    completions: npt.NDArray[np.int64],
    budget: int,
) -> Iterator[npt.NDArray[np.int64]]:
    first = longest_prompt = longest_completion = 0
    for position, row in enumerate(pool):
        longest_prompt = max(longest_prompt, int(prompts[row]))
        longest_completion = max(longest_completion, int(completions[row]))
        size = position - first + 1
        if size > 1 and size * (longest_prompt + longest_completion) > budget:
            yield pool[first:position]
            first = position
            longest_prompt, longest_completion = int(prompts[row]), int(completions[row])
    if len(pool):
        yield pool[first:]


def collate(
    rows: Sequence[int] | npt.NDArray[np.int64],
    examples: Examples,
    is_encoder_decoder: bool,
    pad_token_id: int,
    decoder_start_token_id: int | None,
) -> Batch:
    """Tensors of a batch.

    Args:
        rows: Row numbers.
        examples: The pairs.
        is_encoder_decoder: The model's architecture.
        pad_token_id: Fills up input ids.
        decoder_start_token_id: First input of a decoder; None for decoder-only models.
    """
    prompts = [examples.prompts[row] for row in rows]
    completions = [examples.completions[row] for row in rows]
    if is_encoder_decoder:
        assert decoder_start_token_id is not None
        starts = [np.concatenate([[decoder_start_token_id], ids[:-1]]) for ids in completions]
        inputs = {
            "input_ids": _pad(prompts, pad_token_id),
            "attention_mask": _pad([np.ones_like(ids) for ids in prompts], 0),
            "decoder_input_ids": _pad(starts, pad_token_id),
        }
        labels = _pad(completions, IGNORED)
        padded = inputs["input_ids"].numel() + labels.numel()
    else:
        pairs = list(zip(prompts, completions, strict=True))
        whole = [np.concatenate(pair) for pair in pairs]
        # The logits at a position predict the next token: labels are one step ahead.
        ahead = [
            np.concatenate([np.full(len(prompt) - 1, IGNORED), completion, [IGNORED]])
            for prompt, completion in pairs
        ]
        inputs = {
            "input_ids": _pad(whole, pad_token_id),
            "attention_mask": _pad([np.ones_like(ids) for ids in whole], 0),
        }
        labels = _pad(ahead, IGNORED)
        padded = inputs["input_ids"].numel()
    return Batch(
        inputs=inputs,
        labels=labels,
        num_supervised=sum(map(len, completions)),
        num_tokens=sum(map(len, prompts)) + sum(map(len, completions)),
        num_padded=padded,
    )


def _pad(rows: Sequence[npt.NDArray[np.integer]], filler: int) -> torch.Tensor:
    longest = max(map(len, rows))
    padded = torch.full((len(rows), longest), filler, dtype=torch.long)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = torch.from_numpy(row.astype(np.int64))
    return padded
