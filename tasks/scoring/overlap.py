"""Metrics of shared words and characters: ROUGE by rouge-score, BLEU and chrF by sacrebleu.

Each function maps completions and their references to sufficient statistics, as in `answers`:

    >>> rouge1(["the cat"], [["the dog"]])
    array([[0.5, 1. ]])
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tasks.scoring.answers import FloatArray, References
from tasks.scoring.words import spaced, words

MAX_ORDER = 4
CHRF_BETA = 2


class Words:
    """Cuts texts for rouge-score: as its own tokenizer those in ASCII, others into their words."""

    def tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        return words(text)


def rouge1(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of the words that completion and reference share (ROUGE-1; Lin, 2004).

    0 to 1, higher is better; mean over examples, each against the reference that suits it best.
    As `rouge_score.RougeScorer` without stemming. An empty text scores 0.

    Returns:
        Shape (examples, 2): (F1, 1).
    """
    return _rouge("rouge1", completions, references)


def rouge2(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of the pairs of adjacent words that completion and reference share (ROUGE-2; Lin, 2004).

    Range, direction, aggregation and implementation as `rouge1`. A text of one word scores 0.

    Returns:
        Shape (examples, 2): (F1, 1).
    """
    return _rouge("rouge2", completions, references)


def rouge_l(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of the longest common subsequence of words (ROUGE-L; Lin, 2004).

    Range, direction, aggregation and implementation as `rouge1`.

    Returns:
        Shape (examples, 2): (F1, 1).
    """
    return _rouge("rougeL", completions, references)


def rouge_l_sum(completions: Sequence[str], references: References) -> FloatArray:
    r"""ROUGE-L of summaries of several sentences, the union of their subsequences (Lin, 2004, 3.2).

    Range, direction, aggregation and implementation as `rouge1`. Sentences are lines ("\n").

    Returns:
        Shape (examples, 2): (F1, 1).
    """
    return _rouge("rougeLsum", completions, references)


def rouge1_mean(completions: Sequence[str], references: References) -> FloatArray:
    """`rouge1` against every reference of an example, averaged, instead of the best of them.

    0 to 1, higher is better. Range, direction, aggregation and implementation as `rouge1`; the
    same where an example has one reference.

    Returns:
        Shape (examples, 2): (F1, 1).
    """
    return _rouge("rouge1", completions, references, np.mean)


def rouge2_mean(completions: Sequence[str], references: References) -> FloatArray:
    """`rouge2` against every reference of an example, averaged, instead of the best of them.

    0 to 1, higher is better. Range, direction, aggregation and implementation as `rouge1`; the
    same where an example has one reference.

    Returns:
        Shape (examples, 2): (F1, 1).
    """
    return _rouge("rouge2", completions, references, np.mean)


def rouge_l_mean(completions: Sequence[str], references: References) -> FloatArray:
    """`rouge_l` against every reference of an example, averaged, instead of the best of them.

    0 to 1, higher is better. Range, direction, aggregation and implementation as `rouge1`; the
    same where an example has one reference.

    Returns:
        Shape (examples, 2): (F1, 1).
    """
    return _rouge("rougeL", completions, references, np.mean)


def rouge_l_sum_mean(completions: Sequence[str], references: References) -> FloatArray:
    """`rouge_l_sum` against every reference of an example, averaged, instead of the best of them.

    0 to 1, higher is better. Range, direction, aggregation and implementation as `rouge1`; the
    same where an example has one reference.

    Returns:
        Shape (examples, 2): (F1, 1).
    """
    return _rouge("rougeLsum", completions, references, np.mean)


def bleu(completions: Sequence[str], references: References) -> FloatArray:
    """Word n-gram counts for BLEU (Papineni et al., 2002), by sacrebleu: 13a tokens, exp smoothing.

    In scripts without spaces between words each character is a token, as in its "zh" tokens.
    The metric (`bleu_of`) lies in 0 to 1 (sacrebleu's divided by 100), higher is better, and is
    that of the whole set: it is not a mean over examples.

    Returns:
        Shape (examples, 10): length, reference length, matches of 1- to 4-grams, n-grams.
    """
    from sacrebleu.metrics.bleu import BLEU

    cut = [spaced(text) for text in completions]
    expected = [[spaced(reference) for reference in refs] for refs in references]
    return _sacrebleu_statistics(BLEU(force=True), cut, expected)


def chrf(completions: Sequence[str], references: References) -> FloatArray:
    """Character n-gram counts for chrF (Popović, 2015), by sacrebleu: order 6, beta 2.

    The metric (`chrf_of`) lies in 0 to 1 (sacrebleu's divided by 100), higher is better, and is
    that of the whole set. It needs no word boundaries, so it suits any script and code.

    Returns:
        Shape (examples, 18): n-grams in completion, in reference and in both, for orders 1 to 6.
    """
    from sacrebleu.metrics.chrf import CHRF

    return _sacrebleu_statistics(CHRF(beta=CHRF_BETA), completions, references)


def bleu_of(sums: FloatArray, effective_order: bool = False) -> FloatArray:
    """Compute BLEU from summed statistics, as `sacrebleu.BLEU.compute_bleu`, for many sets at once.

    Args:
        sums: Shape (..., 10), as from `bleu`.
        effective_order: Leave the orders out of which no completion has an n-gram.

    Returns:
        Shape (...); 0 where nothing matches or, if they are not left out, there is such an order.
    """
    length, expected = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + MAX_ORDER], sums[..., 2 + MAX_ORDER :]
    missing = np.equal(matches, 0)
    # Smoothing "exp": the k-th order without a match counts as 1 / 2^k matches.
    smoothed = np.where(missing, 0.5 ** np.cumsum(missing, axis=-1), matches)
    counts = totals > 0
    orders = counts.sum(axis=-1)
    defined = ~np.all(missing, axis=-1) & (effective_order | (orders == MAX_ORDER))
    precisions = np.where(counts, smoothed / np.maximum(totals, 1), 1.0)
    brevity = np.exp(np.minimum(0.0, 1 - expected / np.maximum(length, 1)))
    mean = np.log(precisions).sum(axis=-1) / np.maximum(orders, 1)
    return np.where(defined, brevity * np.exp(mean), 0.0)


def bleu_alone(statistics: FloatArray) -> FloatArray:
    """BLEU of single examples, as `sacrebleu.sentence_bleu`: by the n-grams that a short one has.

    Args:
        statistics: Shape (..., 10), as from `bleu`.

    Returns:
        Shape (...); 0 where nothing matches.
    """
    return bleu_of(statistics, effective_order=True)


def chrf_of(sums: FloatArray) -> FloatArray:
    """Compute chrF from summed statistics, as `sacrebleu.CHRF`, for many sets at once.

    Args:
        sums: Shape (..., 18), as from `chrf`.

    Returns:
        Shape (...); 0 where nothing matches.
    """
    found, expected, matches = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 3), -1, 0)
    counts = (found > 0) & (expected > 0)
    orders = np.maximum(counts.sum(axis=-1), 1)
    precision = np.where(counts, matches / np.maximum(found, 1), 0.0).sum(axis=-1) / orders
    recall = np.where(counts, matches / np.maximum(expected, 1), 0.0).sum(axis=-1) / orders
    weighted = CHRF_BETA**2 * precision + recall
    factor = 1 + CHRF_BETA**2
    result: FloatArray = factor * precision * recall / np.where(weighted > 0, weighted, 1.0)
    return result


def _rouge(
    kind: str,
    completions: Sequence[str],
    references: References,
    over_references: Callable[[list[float]], Any] = max,
) -> FloatArray:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind], tokenizer=Words())
    values = [
        over_references([scorer.score(reference, text)[kind].fmeasure for reference in refs])
        for text, refs in zip(completions, references, strict=True)
    ]
    return np.column_stack([values, np.ones(len(values))])


def _sacrebleu_statistics(
    scorer: object, completions: Sequence[str], references: References
) -> FloatArray:
    # The library has no public way to one example's counts; these are the steps of its
    # `corpus_score`, which the tests hold this module's results against.
    rows = []
    for text, refs in zip(completions, references, strict=True):
        prepared = [scorer._preprocess_segment(reference) for reference in refs]  # type: ignore[attr-defined]
        known = scorer._extract_reference_info(prepared)  # type: ignore[attr-defined]
        hypothesis = scorer._preprocess_segment(text)  # type: ignore[attr-defined]
        rows.append(scorer._compute_segment_statistics(hypothesis, known))  # type: ignore[attr-defined]
    return np.array(rows, dtype=float)
