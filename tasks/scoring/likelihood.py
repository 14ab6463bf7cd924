"""Perplexity: how likely a model holds a text to be, without generating.

The statistics of an example are the nats (negative log likelihood) of its expected completion, its
stop token left out, and the completion's bytes in UTF-8:

    >>> inverse_perplexity([41.5], [["and nobody saw it go."]])
    array([[41.5, 21. ]])

On neutral text the prompt is the first half of a text and the completion the second, see
`configs/prompts/text_continuation.yaml`: so both architectures are asked the same.
"""

from collections.abc import Sequence

import numpy as np

from tasks.scoring.answers import FloatArray, References


def inverse_perplexity(nats: Sequence[float], references: References) -> FloatArray:
    """1 / perplexity per byte of the expected completion (the first reference).

    0 to 1, higher is better (1: it is certain of every byte); over the set, exp(-nats / bytes) of
    the sums (`inverse_perplexity_of`). Perplexity itself has no upper bound, and by token it could
    not be compared between tokenizers; -log2 of this is bits per byte (Gao et al., 2020, "The
    Pile", section 3.1). An empty completion has no bytes and does not count; alone it scores 1.

    Args:
        nats: Of each example's completion, at least 0.
        references: Their first texts are the completions.

    Returns:
        Shape (examples, 2): nats, bytes.
    """
    sizes = [len(refs[0].encode()) for refs in references]
    return np.column_stack([np.where(sizes, nats, 0.0), sizes]).astype(float)


def inverse_perplexity_of(sums: FloatArray) -> FloatArray:
    """exp(-nats / bytes).

    Args:
        sums: Shape (..., 2): nats, bytes.

    Returns:
        Shape (...).
    """
    result: FloatArray = np.exp(-sums[..., 0] / np.maximum(sums[..., 1], 1))
    return result
