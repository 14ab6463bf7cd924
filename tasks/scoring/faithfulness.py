"""Whether a summary keeps to its source: facts that it made up, and facts that it left out.

Each function maps completions, their references and the sources (what the model was given) to
sufficient statistics, as in `answers`; what counts as a fact is defined in `facts`:

    >>> fabrication(["Ana pays 5 euros."], [["Ana pays."]], ["Ana: I pay 4 euros."])
    array([[1., 2.]])
"""

from collections.abc import Sequence

import numpy as np

from tasks.scoring.answers import FloatArray, References
from tasks.scoring.facts import facts, supports, unsupported, words_in_lower_case


def fabrication(
    completions: Sequence[str], references: References, sources: Sequence[str]
) -> FloatArray:
    """Share of the facts in the completions that their sources do not have.

    0 to 1, lower is better; over the set: all unsupported facts by all facts (`share`). A
    completion without facts, such as an empty one, makes nothing up. References do not count. It
    finds names, numbers, times and codes that stand nowhere in the source; not what is said of
    them, nor a fact that is true but was worked out (6 + 2 = 8).

    Returns:
        Shape (examples, 2): unsupported facts, facts.
    """
    rows = []
    for text, source in zip(completions, sources, strict=True):
        stated = facts(text, words_in_lower_case(source))
        rows.append((len(unsupported(stated, text, supports(source))), len(stated)))
    return np.array(rows, dtype=float).reshape(-1, 2)


def omission(
    completions: Sequence[str], references: References, sources: Sequence[str]
) -> FloatArray:
    """Share of the facts in the human summaries that the completions do not have.

    0 to 1, lower is better; over the set: all missing facts by all facts (`share`). Of several
    references, the one of which the smallest share is missing. An empty completion omits every
    fact; a reference without facts has none to omit.

    Returns:
        Shape (examples, 2): missing facts, facts.
    """
    rows = []
    for text, refs, source in zip(completions, references, sources, strict=True):
        lower_case, known = words_in_lower_case(source), supports(text)
        expected = [(reference, facts(reference, lower_case)) for reference in refs]
        counts = [(len(unsupported(stated, ref, known)), len(stated)) for ref, stated in expected]
        rows.append(min(counts, key=lambda count: count[0] / max(count[1], 1)))
    return np.array(rows, dtype=float).reshape(-1, 2)


def share(sums: FloatArray) -> FloatArray:
    """The first of two sums by the second.

    Args:
        sums: Shape (..., 2).

    Returns:
        Shape (...); 0 where the second is 0.
    """
    result: FloatArray = sums[..., 0] / np.maximum(sums[..., 1], 1)
    return result
