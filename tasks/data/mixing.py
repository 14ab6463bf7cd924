"""Mixing: how many examples of each task one epoch draws.

{"summaries": 12460, "sentiment": 2838}, cap 3000  ->  {"summaries": 3000, "sentiment": 2838}
"""

from collections.abc import Mapping

from tasks.config import Mixture


def draws_per_epoch(rows: Mapping[str, int], mixture: Mixture) -> dict[str, int]:
    """Examples that one epoch draws from each task.

    The size of an epoch is the sum of the capped row counts, whatever the strategy; the strategy
    shares it out. A task whose draws exceed its rows repeats some of them within an epoch.

    Args:
        rows: Task -> training rows available.
        mixture: Strategy, temperature and cap (T5, arXiv 1910.10683, section 3.5.2).

    Returns:
        Task -> number of draws, at least 1 where the task has rows.
    """
    capped = {
        task: min(count, mixture.cap) if mixture.cap else count for task, count in rows.items()
    }
    rates = _rates(capped, mixture)
    size, whole = sum(capped.values()), sum(rates.values())
    return {
        task: max(1, round(size * rate / whole)) if capped[task] else 0
        for task, rate in rates.items()
    }


def _rates(capped: Mapping[str, int], mixture: Mixture) -> dict[str, float]:
    if mixture.strategy == "equal":
        return {task: 1.0 for task in capped}
    if mixture.strategy == "weights":
        return {task: mixture.weights[task] for task in capped}
    exponent = 1 / mixture.temperature if mixture.strategy == "temperature" else 1.0
    return {task: count**exponent for task, count in capped.items()}
