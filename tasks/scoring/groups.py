"""Groups of examples that are no independent evidence, such as the answers of one conversation.

    summed([[0.4, 1], [0.2, 1], [0.9, 1]], group_numbers(["a", "a", None]))
    ->  [[0.6, 2], [0.9, 1]]

Intervals are computed of their sums, so that groups are resampled whole (Davison and Hinkley, 1997,
"Bootstrap Methods and their Application", section 3.8).
"""

from collections.abc import Sequence

import numpy as np

from tasks.scoring.answers import FloatArray


def group_numbers(group_ids: Sequence[str | None]) -> list[int]:
    """Number of each example's group, in the order of their first examples.

    Args:
        group_ids: None where an example stands for itself.
    """
    numbers: dict[str | int, int] = {}
    return [
        numbers.setdefault(row if group is None else group, len(numbers))
        for row, group in enumerate(group_ids)
    ]


def summed(statistics: FloatArray, groups: Sequence[int]) -> FloatArray:
    """Statistics of groups: the sums of those of their examples.

    Args:
        statistics: Shape (examples, statistics).
        groups: Number of each example's group.

    Returns:
        Shape (groups, statistics).
    """
    sums = np.zeros((max(groups) + 1, statistics.shape[1]))
    np.add.at(sums, groups, statistics)
    return sums
