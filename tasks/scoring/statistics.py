"""The uncertainty of scores: bootstrap intervals, paired ones for differences.

Examples are resampled and metrics recomputed from their summed statistics, so metrics of the whole
set (BLEU, macro F1) are resampled just as means are. All ways are scored on the same resampled
examples, which is what pairs them. Examples of one group (the answers of a conversation) are drawn
together, for they are no independent evidence. One result:

    {"value": 0.412, "low": 0.388, "high": 0.437, "n": 200}
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import ndtr, ndtri

from tasks.scoring.answers import FloatArray
from tasks.scoring.groups import group_numbers, summed

LEVEL = 0.95
POWER = 0.8
BATCH = 256
NOISE = 1e-12

Key = TypeVar("Key", bound=Hashable)
Scored = tuple[FloatArray, Callable[[FloatArray], FloatArray]]
"""Statistics of each example, shape (examples, statistics), and the aggregate of their sums."""


@dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap distribution.

    Attributes:
        value: Of the examples as they are.
        resamples: Of each resample, shape (resamples,).
        num_examples: Examples behind the value.
        influences: Of each task, the jackknife influence of each group, shape (groups,).
        statistics: Of each task, those of its groups, shape (groups, statistics).
        least_p: Of a difference, the least p that so few groups can show.
    """

    value: float
    resamples: FloatArray
    num_examples: int
    influences: tuple[FloatArray, ...]
    statistics: tuple[FloatArray, ...]
    least_p: float = 0.0

    @property
    def num_groups(self) -> int:
        """What was resampled: groups of examples, or examples that stand for themselves."""
        return sum(map(len, self.influences))


def estimates(
    scored: Mapping[Key, Scored],
    num_resamples: int,
    seed: int,
    group_ids: Sequence[str | None] | None = None,
) -> dict[Key, Estimate]:
    """Resample examples, the same ones for every key.

    Args:
        scored: Whatever is measured on the same examples: metrics, ways.
        num_resamples: Bootstrap resamples.
        seed: Of the resampling.
        group_ids: Group of each example, None where it stands for itself.

    Returns:
        The estimate of each key.
    """
    num_examples = len(next(iter(scored.values()))[0])
    groups = group_numbers(group_ids or [None] * num_examples)
    scored = {
        key: (summed(statistics, groups), aggregate)
        for key, (statistics, aggregate) in scored.items()
    }
    num_groups = len(next(iter(scored.values()))[0])
    random = np.random.default_rng(seed)
    resamples = {key: np.empty(num_resamples) for key in scored}
    for start in range(0, num_resamples, BATCH):
        counts = _counts(random, min(BATCH, num_resamples - start), num_groups)
        for key, (statistics, aggregate) in scored.items():
            resamples[key][start : start + BATCH] = aggregate(counts @ statistics)
    return {
        key: Estimate(
            value=float(aggregate(statistics.sum(axis=0))),
            resamples=resamples[key],
            num_examples=num_examples,
            influences=(_influences(statistics, aggregate),),
            statistics=(statistics,),
        )
        for key, (statistics, aggregate) in scored.items()
    }


def difference(one: Estimate, other: Estimate) -> Estimate:
    """`one - other`, paired: both estimated on the same resamples of the same examples."""
    resamples = one.resamples - other.resamples
    # The same sum can round differently in another place of memory; equal ways differ by 0.
    resamples[np.abs(resamples) < NOISE] = 0.0
    statistics = _paired_differences(one.statistics, other.statistics)
    return Estimate(
        value=one.value - other.value,
        resamples=resamples,
        num_examples=one.num_examples,
        influences=_paired_differences(one.influences, other.influences),
        statistics=statistics,
        least_p=sign_test(sum(int(np.any(rows != 0, axis=1).sum()) for rows in statistics)),
    )


def macro_average(tasks: Sequence[Estimate]) -> Estimate:
    """The mean over tasks, each of which was resampled by itself."""
    return Estimate(
        value=float(np.mean([task.value for task in tasks])),
        resamples=np.mean([task.resamples for task in tasks], axis=0),
        num_examples=sum(task.num_examples for task in tasks),
        influences=tuple(influence / len(tasks) for task in tasks for influence in task.influences),
        statistics=tuple(rows for task in tasks for rows in task.statistics),
    )


def sign_test(num_changed: int) -> float:
    """Two-sided p of the sign test where all examples that changed did so in the same direction.

    No test of paired differences can tell more without knowing how they are distributed (Dixon
    and Mood, 1946, "The statistical sign test"); a bootstrap of 5 equal ones claims certainty.

    Args:
        num_changed: Examples that are not the same in both ways.
    """
    return min(1.0, 2.0 ** (1 - num_changed))


def with_no_change(low: float, high: float, least_p: float) -> tuple[float, float]:
    """The ends of a 95% interval of a difference, 0 within it where it can't be ruled out.

    Args:
        low: As resampled.
        high: As resampled.
        least_p: The least p that the examples can show, as from `sign_test`.
    """
    return (min(low, 0.0), max(high, 0.0)) if least_p > 1 - LEVEL else (low, high)


def interval(estimate: Estimate) -> dict[str, float]:
    """Value and 95% interval: bias-corrected and accelerated (Efron, 1987).

    Where that is undefined, because every resample gives the same value or all lie on one side
    of it, the percentile interval. That of a difference has 0 in it where fewer than 6 examples
    differ (`sign_test`). Zero width (all examples score alike) does not mean certainty:
    the bootstrap knows nothing but the sample.

    Returns:
        `value`, `low`, `high` and `n`, the number of examples.
    """
    tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    correction = _correction(estimate)
    if correction:
        bias, acceleration = correction
        shifted = bias + ndtri(tails)
        tails = ndtr(bias + shifted / (1 - acceleration * shifted))
    ends = np.quantile(estimate.resamples, tails)
    low, high = with_no_change(float(ends[0]), float(ends[1]), estimate.least_p)
    return {
        "value": round(estimate.value, 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "n": estimate.num_examples,
    }


def p_value(estimate: Estimate) -> float:
    """Two-sided p of "the difference is 0": one minus the level of the interval that touches 0.

    Returns:
        In (0, 1]; not below about 2 / resamples, which is as far as resampling can tell, nor below
        what so few examples can show (`sign_test`).
    """
    size = len(estimate.resamples)
    below = (float(np.sum(estimate.resamples <= 0)) + 1) / (size + 2)
    above = (float(np.sum(estimate.resamples >= 0)) + 1) / (size + 2)
    correction = _correction(estimate)
    if correction:
        below = _uncorrected(below, *correction)
        above = 1 - _uncorrected(1 - above, *correction)
    return round(min(1.0, max(2 * min(below, above), estimate.least_p)), 6)


def detectable(estimate: Estimate) -> float:
    """The smallest true difference that as many examples are likely to show.

    With probability 0.8, the 95% interval of such a difference leaves out 0: 2.8 standard errors
    (Cohen, 1988, section 1.5), and in any case 3 / groups, for what happens to
    fewer of them may not be in the sample at all (rule of three). 1, the whole scale, where they
    may show none.
    """
    if sign_test(estimate.num_groups) > 1 - LEVEL:
        return 1.0
    return round(min(max(_detected(estimate), 3 / estimate.num_groups), 1.0), 6)


def needed_examples(estimate: Estimate, effect: float) -> int:
    """Examples that are likely to show a difference of `effect`, as in `detectable`.

    Args:
        estimate: A difference, measured on some examples.
        effect: Above 0.
    """
    scaled = estimate.num_examples * (_detected(estimate) / effect) ** 2
    return math.ceil(max(scaled, 3 / effect))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for how many there are (Holm, 1979), each in its place."""
    corrected = [0.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = round(least, 6)
    return corrected


def _paired_differences(
    one: tuple[FloatArray, ...], other: tuple[FloatArray, ...]
) -> tuple[FloatArray, ...]:
    return tuple(a - b for a, b in zip(one, other, strict=True))


def _detected(estimate: Estimate) -> float:
    """The true difference that is decided with probability `POWER`: 2.8 standard errors."""
    deviations = float(ndtri(1 - (1 - LEVEL) / 2) + ndtri(POWER))
    return deviations * float(estimate.resamples.std())


def _counts(random: np.random.Generator, size: int, num_groups: int) -> FloatArray:
    """How often each group is drawn in each of `size` resamples: (size, groups)."""
    drawn = random.integers(num_groups, size=(size, num_groups))
    drawn += num_groups * np.arange(size)[:, np.newaxis]
    counts = np.bincount(drawn.ravel(), minlength=size * num_groups)
    return counts.reshape(size, num_groups).astype(np.float64)


def _influences(
    statistics: FloatArray, aggregate: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Jackknife influence of each group: (groups,)."""
    if len(statistics) == 1:
        return np.zeros(1)
    without = aggregate(statistics.sum(axis=0) - statistics)
    result: FloatArray = (len(statistics) - 1) * (without.mean() - without)
    return result


def _correction(estimate: Estimate) -> tuple[float, float] | None:
    """Bias and acceleration of the BCa interval; None where they are undefined.

    For several samples (the tasks of a macro average) as in `scipy.stats.bootstrap`.
    """
    resamples, value = estimate.resamples, estimate.value
    below, same = np.mean(resamples < value - NOISE), np.mean(np.abs(resamples - value) <= NOISE)
    bias = float(ndtri(below + same / 2))
    spread = sum(float(np.sum(u**2)) / len(u) ** 2 for u in estimate.influences)
    if not np.isfinite(bias) or spread < NOISE**2 or np.ptp(resamples) < NOISE:
        return None
    skew = sum(float(np.sum(u**3)) / len(u) ** 3 for u in estimate.influences)
    return bias, skew / (6 * spread**1.5)


def _uncorrected(share: float, bias: float, acceleration: float) -> float:
    """The nominal tail whose corrected one is `share`: the inverse of the BCa formula."""
    moved = ndtri(share) - bias
    return float(ndtr(moved / (1 + acceleration * moved) - bias))
