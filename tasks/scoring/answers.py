"""Metrics that compare a completion with the expected answer: labels, entities, short answers.

Each function maps completions and their references to sufficient statistics, an array of shape
(examples, statistics) whose column sums determine the metric of the set. A mean has the
statistics (value, 1):

    >>> accuracy(["positive", "no idea"], [["positive"], ["negative"]])
    array([[1., 1.], [0., 1.]])
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.scoring.words import punctuation, spaced

FloatArray = npt.NDArray[np.float64]
References = Sequence[Sequence[str]]

ARTICLES = re.compile(r"\b(a|an|the)\b")
NO_ENTITIES = "none"


def mean(sums: FloatArray) -> FloatArray:
    """Mean of per-example values from the sums of (value, 1).

    Args:
        sums: Shape (..., 2).

    Returns:
        Shape (...).
    """
    result: FloatArray = sums[..., 0] / sums[..., 1]
    return result


def f1(sums: FloatArray) -> FloatArray:
    """Micro F1 from the sums of (true positives, false positives, false negatives).

    Args:
        sums: Shape (..., 3).

    Returns:
        Shape (...); 1 where there was nothing to find and nothing was found.
    """
    hits, extra, missed = np.moveaxis(sums, -1, 0)
    whole = 2 * hits + extra + missed
    return np.where(whole > 0, 2 * hits / np.maximum(whole, 1), 1.0)


def mean_of_classes(sums: FloatArray) -> FloatArray:
    """Macro F1 from the sums of (true positives, predicted, actual) of each class.

    Args:
        sums: Shape (..., 3 * classes).

    Returns:
        Shape (...): the mean over the classes that occur in the (re)sample.
    """
    hits, predicted, actual = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 3), -1, 0)
    occurs = predicted + actual > 0
    scores = 2 * hits / np.where(occurs, predicted + actual, 1.0)
    result: FloatArray = scores.sum(axis=-1) / occurs.sum(axis=-1)
    return result


def accuracy(completions: Sequence[str], references: References) -> FloatArray:
    """Whether the completion is one of the references, in whatever case and spacing.

    0 to 1, higher is better; mean over examples. On texts in lower case it is scikit-learn's
    `accuracy_score`. An empty completion is right only where an empty answer is expected.

    Returns:
        Shape (examples, 2): (0 or 1, 1).
    """
    return _best(lambda text, reference: float(folded(text) == folded(reference)))(
        completions, references
    )


def macro_f1(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of each label, averaged with equal weight: rare labels count as much as common ones.

    0 to 1, higher is better; over the set, from counts. The classes are the labels among the
    (first) references; a completion that is none of them is a miss of its own label and no class
    of its own. It is scikit-learn's `f1_score(average="macro", labels=<those labels>)`; with one
    class, the F1 of that class.

    Returns:
        Shape (examples, 3 * classes): (true positive, predicted, actual) of each class.
    """
    actual = [folded(refs[0]) for refs in references]
    predicted = [folded(text) for text in completions]
    position = {label: index for index, label in enumerate(sorted(set(actual)))}
    statistics = np.zeros((len(actual), len(position), 3))
    for row, (found, right) in enumerate(zip(predicted, actual, strict=True)):
        statistics[row, position[right], 2] = 1.0
        if found in position:
            statistics[row, position[found], 1] = 1.0
        if found == right:
            statistics[row, position[right], 0] = 1.0
    return statistics.reshape(len(actual), -1)


def exact_match(completions: Sequence[str], references: References) -> FloatArray:
    """Whether the completion is one of the references, up to case, punctuation and articles.

    0 to 1, higher is better; mean over examples. Normalisation and choice of the best reference
    as in SQuAD's evaluation script (Rajpurkar et al., 2016), for other scripts in MLQA's (Lewis et
    al., 2020).

    Returns:
        Shape (examples, 2): (0 or 1, 1).
    """
    return _best(lambda text, reference: float(normalized(text) == normalized(reference)))(
        completions, references
    )


def token_f1(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of the words that completion and best reference share, normalised as in SQuAD.

    0 to 1, higher is better; mean over examples. Where either has no words, 1 if both have
    none, else 0 (SQuAD 2.0: Rajpurkar et al., 2018).

    Returns:
        Shape (examples, 2): (F1, 1).
    """
    return _best(_shared_words)(completions, references)


def entity_f1(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of named entities: an entity counts where both its text and its type are right.

    0 to 1, higher is better; micro average over the set (CoNLL-2003, Tjong Kim Sang and De
    Meulder). Entities are written "person: Anna Lee; place: Oslo", and "none" or nothing where
    there are none; order and case do not matter, one named twice must be found twice. What is not
    written so counts as a wrong entity. Of several references, the one that agrees best.

    Returns:
        Shape (examples, 3): true positives, false positives, false negatives.
    """
    return counts_of(completions, references, entities)


def entity_span_f1(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of the texts of named entities, whatever their type.

    0 to 1, higher is better. Aggregation, notation and statistics as `entity_f1`, which this is
    at least: what it has more are entities found under a wrong type.
    """
    return counts_of(completions, references, lambda text: _part(entities(text), 1))


def entity_type_f1(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of the types of named entities, whatever their text: as many persons, as many places.

    0 to 1, higher is better. Aggregation, notation and statistics as `entity_f1`, which this is
    at least.
    """
    return counts_of(completions, references, lambda text: _part(entities(text), 0))


def length_ratio(completions: Sequence[str], references: References) -> FloatArray:
    """How alike completion and closest reference are in length: shorter by longer, in words.

    0 to 1, higher is better (1: the same length); mean over examples. Says nothing of content.
    Two empty texts are alike, an empty and a full one are not at all.

    Returns:
        Shape (examples, 2): (ratio, 1).
    """
    return _best(_ratio)(completions, references)


def folded(text: str) -> str:
    """A label without differences of case and spacing."""
    return " ".join(text.casefold().split())


def normalized(text: str) -> str:
    """MLQA's normalisation, SQuAD's for other scripts: lower case, no punctuation, no articles.

    The articles are English. In scripts without spaces each character is a word.
    """
    return " ".join(ARTICLES.sub(" ", spaced(text.lower().translate(punctuation()))).split())


def entities(text: str) -> Counter[tuple[str, str]]:
    """Parse "person: Anna Lee; place: Oslo" into (type, entity) -> number of times."""
    pieces = [folded(piece) for piece in text.split(";")]
    # What comes after the first colon may have more of them: "time: 9:30".
    split = [
        piece.partition(":")[::2] if ":" in piece else ("", piece) for piece in pieces if piece
    ]
    typed = [(kind.strip(), name.strip()) for kind, name in split]
    return Counter((kind, name) for kind, name in typed if (kind, name) != ("", NO_ENTITIES))


def counts_of(
    completions: Sequence[str], references: References, parse: Callable[[str], Counter[Any]]
) -> FloatArray:
    """Statistics of a micro F1: what a completion has of the things that a reference has.

    Args:
        completions: One text per example.
        references: One or more texts per example; the one that agrees best counts.
        parse: Text -> thing -> number of times.

    Returns:
        Shape (examples, 3): true positives, false positives, false negatives.
    """
    rows = []
    for text, refs in zip(completions, references, strict=True):
        found = parse(text)
        counts = [_counts(found, parse(reference)) for reference in refs]
        rows.append(max(counts, key=lambda count: float(f1(np.array(count, dtype=float)))))
    return np.array(rows, dtype=float).reshape(-1, 3)


def _best(score: Callable[[str, str], float]) -> Callable[[Sequence[str], References], FloatArray]:
    """Statistics of a mean, each example scored against the reference that suits it best."""

    def statistics(completions: Sequence[str], references: References) -> FloatArray:
        pairs = zip(completions, references, strict=True)
        values = [max(score(text, reference) for reference in refs) for text, refs in pairs]
        return np.column_stack([values, np.ones(len(values))])

    return statistics


def _shared_words(text: str, reference: str) -> float:
    words, expected = normalized(text).split(), normalized(reference).split()
    if not words or not expected:
        return float(words == expected)
    shared = (Counter(words) & Counter(expected)).total()
    return 2 * shared / (len(words) + len(expected))


def _ratio(text: str, reference: str) -> float:
    shorter, longer = sorted((len(spaced(text).split()), len(spaced(reference).split())))
    return shorter / longer if longer else 1.0


def _part(typed: Counter[tuple[str, str]], part: int) -> Counter[str]:
    """Only the types (0) or only the texts (1) of entities."""
    parts: Counter[str] = Counter()
    for entity, times in typed.items():
        parts[entity[part]] += times
    return parts


def _counts(found: Counter[Any], expected: Counter[Any]) -> tuple[int, int, int]:
    hits = (found & expected).total()
    return hits, found.total() - hits, expected.total() - hits
