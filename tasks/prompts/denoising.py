"""Filters that make raw text into examples: span corruption and continuation.

    >>> text = "The boat left the bay at dawn and nobody saw it go."
    >>> corrupted(text, rate=0.3, span=3)
    'The boat left the <extra_id_0> nobody saw it go.'
    >>> removed(text, rate=0.3, span=3)
    '<extra_id_0> bay at dawn and'

The pair of the first is T5's objective (arXiv 1910.10683, section 3.1.4); with other rates and
spans, and with `beginning` and `ending`, it is UL2's mixture of denoisers (arXiv 2205.05131).
Words are removed, not tokens, so that the examples serve any tokenizer. Which ones is drawn from a
hash of the text.
"""

import hashlib
import random
from collections.abc import Sequence

from jinja2.exceptions import SecurityError

MAX_SENTINELS = 32
"""As many gaps as a tokenizer of `tasks.training.tokenizer` has sentinels for; T5's has 100."""


def corrupted(text: str, rate: float, span: float) -> str:
    """The text with some spans of words replaced by sentinels.

    Args:
        text: Any text.
        rate: Share of the words to remove, above 0 and below 1.
        span: Mean number of words in a span, at least 1.

    Returns:
        The words left, separated by single spaces, a sentinel for each gap.
    """
    words, gaps = text.split(), _gaps(text, rate, span)
    parts, position = [], 0
    for number, (start, end) in enumerate(gaps):
        parts += [*words[position:start], f"<extra_id_{number}>"]
        position = end
    return " ".join(parts + words[position:])


def removed(text: str, rate: float, span: float) -> str:
    """What `corrupted` took out, each span after its sentinel; same arguments."""
    words, gaps = text.split(), _gaps(text, rate, span)
    spans = [" ".join([f"<extra_id_{n}>", *words[a:b]]) for n, (a, b) in enumerate(gaps)]
    return " ".join(spans)


def beginning(text: str, share: float) -> str:
    """The first words of a text, at least one: that share of them."""
    words = text.split()
    return " ".join(words[: _cut(words, share)])


def ending(text: str, share: float) -> str:
    """The words that `beginning` leaves."""
    words = text.split()
    return " ".join(words[_cut(words, share) :])


def _cut(words: Sequence[str], share: float) -> int:
    _check(0 < share < 1, "a share above 0 and below 1")
    return max(1, round(len(words) * share))


def _gaps(text: str, rate: float, span: float) -> list[tuple[int, int]]:
    """Start and end (exclusive) of the spans to remove, in order, a word or more between them."""
    _check(0 < rate < 1 and span >= 1, "a rate above 0 and below 1 and a span of 1 or more")
    num_words = len(text.split())  # of a single word, that one is removed
    num_removed = max(1, min(round(num_words * rate), num_words - 1))
    num_gaps = max(1, min(round(num_removed / span), num_words - num_removed, MAX_SENTINELS))
    draw = random.Random(hashlib.sha256(f"{rate} {span} {text}".encode()).digest())
    taken = _parts(draw, num_removed, num_gaps)
    # Between two gaps stands a word; before the first and after the last there may be none.
    kept = _parts(draw, num_words - num_removed + 2, num_gaps + 1)
    kept[0] -= 1
    gaps, position = [], 0
    for before, length in zip(kept, taken, strict=False):
        gaps.append((position + before, position + before + length))
        position += before + length
    return gaps


def _parts(draw: random.Random, total: int, num_parts: int) -> list[int]:
    """Positive numbers with a given sum, every way of parting it equally likely."""
    cuts = [0, *sorted(draw.sample(range(1, total), num_parts - 1)), total]
    return [end - start for start, end in zip(cuts, cuts[1:], strict=False)]


def _check(holds: bool, expected: str) -> None:
    if not holds:
        raise SecurityError(f"expected {expected}")


FILTERS = {
    "corrupted": corrupted,
    "removed": removed,
    "beginning": beginning,
    "ending": ending,
}
