"""Prompt-completion pairs as token ids, ready to be batched.

{"prompt": "Summarize: ...", "completion": "Tom asks ..."}  ->  [312, ..., 1], [94, ..., 1]
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.data.conversations import Ids, is_learnt
from tasks.data.tokenizing import stop_token_id
from tasks.errors import BadData, BadRecipe


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one flat array, so that a million of them stay small.

    Attributes:
        flat: All values, shape (tokens,).
        starts: Where each row starts, and the end, shape (rows + 1,).
    """

    flat: Ids
    starts: npt.NDArray[np.int64]

    @classmethod
    def of_lengths(cls, flat: Ids, lengths: npt.NDArray[np.integer]) -> "Ragged":
        """Rows of these lengths, one after the other in `flat`."""
        return cls(flat, np.concatenate([np.zeros(1, np.int64), lengths.cumsum(dtype=np.int64)]))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Length of each row, shape (rows,)."""
        return np.diff(self.starts)

    def __getitem__(self, row: int) -> Ids:
        return self.flat[self.starts[row] : self.starts[row + 1]]


@dataclass(frozen=True)
class Examples:
    """Encoded pairs.

    Attributes:
        ids: Record id of each example.
        tasks: Task of each example.
        prompts: Token ids of the prompts.
        completions: Token ids of the completions, each with the stop token last; of several answers
            of one conversation with what is between them (`tasks.data.conversations`).
        num_too_long: Pairs over a length limit.
        num_dropped: Those of them that were left out.
        num_joined: Pairs that were joined to the one before them.
        emptied: Tasks of which all examples were left out.
        num_special: Examples with text that the tokenizer reads as special tokens.
        remark: What to say of them; "" where there are none.
    """

    ids: npt.NDArray[np.str_]
    tasks: npt.NDArray[np.str_]
    prompts: Ragged
    completions: Ragged
    num_too_long: int
    num_dropped: int
    num_joined: int = 0
    emptied: tuple[str, ...] = ()
    num_special: int = 0
    remark: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def supervised(self) -> npt.NDArray[np.int64]:
        """Tokens of each example that carry loss, shape (examples,)."""
        if not self.num_joined:
            return self.completions.lengths
        starts = self.completions.starts[:-1]
        return np.add.reduceat(is_learnt(self.completions.flat), starts, dtype=np.int64)


def check_supervision(
    examples: Examples, tokenizer: Any, is_encoder_decoder: bool, where: str
) -> None:
    """Check that there is something to learn, and where to stop, before the first step.

    Args:
        examples: The pairs to train on.
        tokenizer: The model's tokenizer.
        is_encoder_decoder: The model's architecture.
        where: What to call the pairs in a message.

    Raises:
        BadData: No example is left, none of a task to train on, no token carries loss, or none of
            them is the stop token.
    """
    stop = stop_token_id(tokenizer, is_encoder_decoder)
    mend = "raise train.max_prompt_tokens and train.max_completion_tokens"
    if len(examples) == 0:
        found = f"none left: {examples.num_dropped} are over the length limits"
        raise BadData(where, "examples to train on", found, mend)
    if examples.emptied and where == "train":
        found = f"none left of {', '.join(examples.emptied)}: all are over the length limits"
        raise BadData(where, "examples of every task", found, mend)
    learnt = examples.completions.flat[is_learnt(examples.completions.flat)]
    if np.all(learnt == stop):
        mend = "check that the prompt file's target has content"
        raise BadData(where, "completions with tokens to learn", "no supervised token", mend)
    if stop not in learnt:
        mend = "check the chat template of the tokenizer"
        raise BadData(where, f"the stop token {stop} in completions", "it is never learnt", mend)


def check_lengths(
    examples: Examples,
    reads: int | None,
    writes: int | None,
    is_encoder_decoder: bool,
    most: int,
) -> None:
    """Check that the model has a position for each token: beyond them it would fail or be wrong.

    Args:
        examples: The pairs to train on.
        reads: The most tokens that the model reads; None for no limit.
        writes: The most that it writes; decoder-only, both are for prompt and completion together.
        is_encoder_decoder: The model's architecture.
        most: The recipe's `max_completion_tokens`, which several answers together may exceed.

    Raises:
        BadRecipe: The limits let longer examples through.
    """
    prompts, completions = examples.prompts.lengths, examples.completions.lengths
    if is_encoder_decoder:
        _check_length("completions", completions, writes, writes)
        _check_length("prompts", prompts, reads, reads)
    else:
        fitting = None if reads is None else reads - min(most, int(completions.max()))
        _check_length("prompts with completions", prompts + completions, reads, fitting)


def _check_length(
    what: str, lengths: npt.NDArray[np.int64], limit: int | None, fitting: int | None
) -> None:
    if limit is None or lengths.max() <= limit:
        return
    key = "max_completion_tokens" if what == "completions" else "max_prompt_tokens"
    expected = f"{what} of at most {limit:,} tokens, for which the model has positions"
    found = f"{int((lengths > limit).sum()):,} longer ones, up to {lengths.max():,}"
    mend = f"set it to {fitting}" if fitting and fitting > 0 else "take a model that reads more"
    raise BadRecipe(f"train.{key}", expected, found, mend)
