"""The answers of one conversation in one example, so that training reads it once.

    [5, 6] -> [7, 1]                   [5, 6] -> [7, 1, ~8, ~4, 9, 1]
    [5, 6, 7, 1, 8, 4] -> [9, 1]

To a decoder-only model what comes after an answer makes no difference to it: loss and gradients are
those of the pairs one by one. In a completion the token `id` that is only read stands as `~id`.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]

Pair = tuple[str, str, list[int], list[int]]
"""Record id, task, and the token ids of prompt and completion."""


def follows(prompt: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether a prompt goes on where another pair ends.

    Args:
        prompt: Token ids.
        whole: Token ids of the other's prompt and completion.
    """
    return bool(whole) and list(prompt[: len(whole)]) == list(whole)


def joined(pairs: Iterable[Pair]) -> list[Pair]:
    """Join each pair of a task to the one before it, where its prompt begins with that.

    Where a chat template writes an earlier answer otherwise than the model is to write it, or the
    oldest turns were cut off, it does not. A joined example has the record id of its last pair.
    """
    examples: list[Pair] = []
    whole: list[int] = []
    for record, task, prompt, completion in pairs:
        if follows(prompt, whole) and examples[-1][1] == task:
            _, _, first, learnt = examples.pop()
            read_only = [~number for number in prompt[len(whole) :]]
            examples.append((record, task, first, [*learnt, *read_only, *completion]))
        else:
            examples.append((record, task, prompt, completion))
        whole = [*prompt, *completion]
    return examples


def is_learnt(completion: Ids) -> npt.NDArray[np.bool_]:
    """Which tokens of a completion carry loss; shape that of the completion."""
    return completion >= 0


def as_read(completion: Ids) -> Ids:
    """A completion's token ids; shape that of the completion."""
    return np.where(is_learnt(completion), completion, ~completion)
