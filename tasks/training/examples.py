"""Prompt-completion pairs as token ids, ready to be batched.

{"prompt": "Summarize: ...", "completion": "Tom asks ..."}  ->  [312, ..., 1], [94, ..., 1]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from tasks.config import Train
from tasks.data.tokenizing import encode_completions, encode_prompts, stop_token_id
from tasks.errors import BadData

BATCH_ROWS = 2_000

Ids = npt.NDArray[np.int32]


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
    def of(cls, rows: Sequence[Sequence[int]]) -> "Ragged":
        """Pack rows."""
        lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
        flat = np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum()))
        return cls(flat, np.concatenate([np.zeros(1, np.int64), lengths.cumsum()]))

    @classmethod
    def joined(cls, parts: Sequence["Ragged"]) -> "Ragged":
        """Several packs one after the other."""
        lengths = np.concatenate([part.lengths for part in parts])
        starts = np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])
        return cls(np.concatenate([part.flat for part in parts]), starts)

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
        completions: Token ids of the completions, each with the stop token last.
        num_too_long: Examples over a length limit.
        num_dropped: Those of them that were left out.
    """

    ids: Sequence[str]
    tasks: Sequence[str]
    prompts: Ragged
    completions: Ragged
    num_too_long: int
    num_dropped: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_supervised_tokens(self) -> int:
        """Tokens that carry loss."""
        return len(self.completions.flat)


def encode_examples(
    path: Path, tokenizer: Any, is_encoder_decoder: bool, limits: Train
) -> Examples:
    """Read and tokenize the pairs in a Parquet file.

    Args:
        path: File with the columns id, task, prompt, completion.
        tokenizer: The model's tokenizer.
        is_encoder_decoder: The model's architecture.
        limits: Length limits and what to do with examples over them.
    """
    ids: list[str] = []
    tasks: list[str] = []
    prompts: list[Ragged] = []
    completions: list[Ragged] = []
    num_too_long = num_dropped = 0
    columns = ["id", "task", "prompt", "completion"]
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=columns):
        rows = batch.to_pydict()
        kept_prompts, kept_completions = [], []
        encoded_prompts = encode_prompts(rows["prompt"], tokenizer, is_encoder_decoder)
        encoded = encode_completions(rows["completion"], tokenizer, is_encoder_decoder)
        for row, (prompt, completion) in enumerate(zip(encoded_prompts, encoded, strict=True)):
            fits_completion = len(completion) <= limits.max_completion_tokens
            fits = fits_completion and len(prompt) <= limits.max_prompt_tokens
            num_too_long += not fits
            if not fits and (limits.too_long == "drop" or not fits_completion):
                num_dropped += 1
                continue
            ids.append(rows["id"][row])
            tasks.append(rows["task"][row])
            kept_prompts.append(_cut(prompt, limits.max_prompt_tokens, is_encoder_decoder))
            kept_completions.append(completion)
        prompts.append(Ragged.of(kept_prompts))
        completions.append(Ragged.of(kept_completions))
    return Examples(
        ids, tasks, Ragged.joined(prompts), Ragged.joined(completions), num_too_long, num_dropped
    )


def _cut(prompt: list[int], limit: int, keep_last: bool) -> list[int]:
    """At most `limit` ids; an encoder's prompt keeps its end-of-text token."""
    if len(prompt) <= limit:
        return prompt
    return [*prompt[: limit - 1], prompt[-1]] if keep_last else prompt[:limit]


def check_supervision(
    examples: Examples, tokenizer: Any, is_encoder_decoder: bool, where: str
) -> None:
    """See that there is something to learn, and where to stop, before the first step.

    Args:
        examples: The pairs to train on.
        tokenizer: The model's tokenizer.
        is_encoder_decoder: The model's architecture.
        where: What to call the pairs in a message.

    Raises:
        BadData: No example is left, no token carries loss, or none of them is the stop token.
    """
    stop = stop_token_id(tokenizer, is_encoder_decoder)
    if len(examples) == 0:
        found = f"none left: {examples.num_dropped} are over the length limits"
        mend = "raise train.max_prompt_tokens and train.max_completion_tokens"
        raise BadData(where, "examples to train on", found, mend)
    others = examples.completions.flat[examples.completions.flat != stop]
    if len(others) == 0:
        mend = "check that the prompt file's target has content"
        raise BadData(where, "completions with tokens to learn", "no supervised token", mend)
    if stop not in examples.completions.flat:
        mend = "check the chat template of the tokenizer"
        raise BadData(where, f"the stop token {stop} in completions", "it is never learnt", mend)
