"""Batches by a budget of tokens, of examples alike in length, in an order fixed by the seed.

lengths [12, 200, 14, 190], budget 420  ->  [[0, 2], [1, 3]]
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tasks.config import Train
from tasks.data.conversations import Ids, as_read, is_learnt
from tasks.training.examples import Examples
from tasks.training.model import start_token_id
from tasks.training.packing import pack

Rows = npt.NDArray[np.int64]
"""Numbers of examples, shape (examples,)."""

Lengths = npt.NDArray[np.int64]
"""Tokens of each example, shape (examples,)."""

IGNORED = -100
"""Label of a position that carries no loss (torch.nn.functional.cross_entropy)."""

POOL_BATCHES = 1600
"""Batches that are sorted by length together: more pad less, fewer shuffle better."""


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes:
        inputs: Keyword arguments of the model's forward pass: `input_ids` and `attention_mask`,
            shape (batch, prompt tokens), and for an encoder-decoder `decoder_input_ids`, shape
            (batch, completion tokens). Packed rows have no attention mask, and
            `position_ids` where they hold several examples.
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


def epoch_rows(examples: Examples, draws: Mapping[str, int], seed: int, epoch: int) -> Rows:
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


def plan_steps(
    rows: Rows, examples: Examples, train: Train, micro_tokens: int, packs: bool, seed: int
) -> list[list[Rows]]:
    """The optimizer steps of an epoch, each cut into micro-batches.

    Which examples share a step depends on the recipe alone, not on how many fit into memory.

    Args:
        rows: Row numbers in random order.
        examples: The pairs.
        train: The recipe's section: `batch_tokens`.
        micro_tokens: Tokens in one forward and backward pass, with padding.
        packs: Whether examples are packed into rows, so that they may differ in length.
        seed: Seed of the order.
    """
    prompts, completions = examples.prompts.lengths, examples.completions.lengths
    if packs:
        lengths = prompts + completions
        steps = _by_sum(rows, lengths, train.batch_tokens)
        return [list(_by_sum(step, lengths, micro_tokens)) for step in steps]
    groups = batch_rows(rows, examples, train.group_tokens, seed)
    size = train.batch_tokens // train.group_tokens
    return [
        [
            micro_batch
            for group in groups[start : start + size]
            for micro_batch in _within_budget(group, prompts, completions, micro_tokens)
        ]
        for start in range(0, len(groups), size)
    ]


def _by_sum(rows: Rows, lengths: Lengths, budget: int) -> list[Rows]:
    """Cut rows, in their order, into pieces of at most `budget` tokens, at least one row each."""
    pieces, first, total = [], 0, 0
    for position, row in enumerate(rows):
        total += int(lengths[row])
        if total > budget and position > first:
            pieces.append(rows[first:position])
            first, total = position, int(lengths[row])
    return [*pieces, rows[first:]]


def batch_rows(rows: Rows, examples: Examples, budget: int, seed: int) -> list[Rows]:
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
    batches: list[Rows] = []
    for start in range(0, len(rows), pool_size):
        pool = rows[start : start + pool_size]
        pool = pool[_alike(prompts[pool], completions[pool], budget)]
        batches.extend(_within_budget(pool, prompts, completions, budget))
    order = np.random.default_rng(seed).permutation(len(batches))
    return [batches[number] for number in order]


def _alike(prompts: Lengths, completions: Lengths, budget: int) -> npt.NDArray[np.intp]:
    """An order in which neighbours are alike in both lengths.

    By prompt, within bands of completions: the more bands, the less is padded for the sake of
    completions, but the more for the sake of prompts, of which a band then has fewer. The sum is
    least where both spreads, each divided by its number of parts, are equal.
    """
    num_batches = max(1.0, float((prompts + completions).sum()) / budget)
    spread = float(completions.std()) / max(1.0, float(prompts.std()))
    bands = min(max(1, round(math.sqrt(num_batches * spread))), len(completions))
    ranks = np.argsort(np.argsort(completions, kind="stable"), kind="stable")
    band = ranks * bands // len(completions)
    # Up and down in turn, so that a batch at a border of bands is of one kind of prompts too.
    return np.lexsort((np.where(band % 2, -prompts, prompts), band))


def _within_budget(
    pool: Rows, prompts: Lengths, completions: Lengths, budget: int
) -> Iterator[Rows]:
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
    rows: Sequence[int] | Rows,
    examples: Examples,
    is_encoder_decoder: bool,
    pad_token_id: int,
    decoder_start_token_id: int | None,
    packs: bool = False,
) -> Batch:
    """Tensors of a batch.

    Args:
        rows: Row numbers.
        examples: The pairs.
        is_encoder_decoder: The model's architecture.
        pad_token_id: Fills up input ids.
        decoder_start_token_id: First input of a decoder; None for decoder-only models.
        packs: Whether a decoder-only model gets several examples in a row.
    """
    prompts = [examples.prompts[row] for row in rows]
    completions = [examples.completions[row] for row in rows]
    if is_encoder_decoder:
        assert decoder_start_token_id is not None
        inputs, labels = _of_pairs(prompts, completions, pad_token_id, decoder_start_token_id)
        padded = inputs["input_ids"].numel() + labels.numel()
    else:
        inputs, labels = _of_sequences(prompts, completions, pad_token_id, packs)
        padded = labels.numel()
    return Batch(
        inputs=inputs,
        labels=labels,
        num_supervised=int(examples.supervised[np.asarray(rows)].sum()),
        num_tokens=sum(map(len, prompts)) + sum(map(len, completions)),
        num_padded=padded,
    )


def collate_for(
    model: Any,
    tokenizer: Any,
    rows: Sequence[int] | Rows,
    examples: Examples,
    packs: bool = False,
) -> Batch:
    """Tensors of a batch, as a model and its tokenizer need them."""
    pad, is_encoder_decoder = int(tokenizer.pad_token_id), bool(model.config.is_encoder_decoder)
    return collate(rows, examples, is_encoder_decoder, pad, start_token_id(model), packs)


def _of_pairs(
    prompts: Sequence[Ids], completions: Sequence[Ids], pad_token_id: int, start_token_id: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Inputs and labels of an encoder-decoder."""
    starts = [np.concatenate([[start_token_id], ids[:-1]]) for ids in completions]
    inputs = {
        "input_ids": _pad(prompts, pad_token_id),
        "attention_mask": _pad([np.ones_like(ids) for ids in prompts], 0),
        "decoder_input_ids": _pad(starts, pad_token_id),
    }
    return inputs, _pad(completions, IGNORED)


def _of_sequences(
    prompts: Sequence[Ids], completions: Sequence[Ids], pad_token_id: int, packs: bool
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Inputs and labels of a decoder-only model."""
    whole = [
        np.concatenate([prompt, as_read(completion)])
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    # The logits at a position predict the next token: labels are one step ahead.
    ahead = [
        np.concatenate([np.full(len(prompt) - 1, IGNORED), labels, [IGNORED]])
        for prompt, labels in zip(prompts, map(_labels, completions), strict=True)
    ]
    if not packs:
        mask = _pad([np.ones_like(ids) for ids in whole], 0)
        return {"input_ids": _pad(whole, pad_token_id), "attention_mask": mask}, _pad(
            ahead, IGNORED
        )
    packed = pack([len(ids) for ids in whole])

    def together(parts: Sequence[npt.NDArray[np.integer]], filler: int) -> torch.Tensor:
        return _pad([np.concatenate([parts[n] for n in row]) for row in packed], filler)

    if max(map(len, packed)) == 1:  # nothing to keep apart: attention needs no mask and is faster
        return {"input_ids": together(whole, pad_token_id)}, together(ahead, IGNORED)
    # A row's filling has position 0 throughout, so that each of its tokens sees itself only. It is
    # of a token that is learnt: the pad token's embedding may be zeros, of which a norm has no
    # gradient (Gemma 3n).
    positions = together([np.arange(len(ids)) for ids in whole], 0)
    inputs = {"input_ids": together(whole, int(whole[0][-1])), "position_ids": positions}
    return inputs, together(ahead, IGNORED)


def _labels(completion: Ids) -> Ids:
    return np.where(is_learnt(completion), completion, IGNORED)


def _pad(rows: Sequence[npt.NDArray[np.integer]], filler: int) -> torch.Tensor:
    longest = max(map(len, rows))
    padded = torch.full((len(rows), longest), filler, dtype=torch.long)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = torch.from_numpy(row.astype(np.int64))
    return padded
