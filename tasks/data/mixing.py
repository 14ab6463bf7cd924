"""Mixing: how many examples of each task one epoch draws.

{"summaries": 12460, "sentiment": 2838}, cap 3000  ->  {"summaries": 3000, "sentiment": 2838}
with 2% replay of "entities"                       ->  {..., "entities": 119}
"""

from collections.abc import Mapping

from tasks.config import Mixture, Recipe, Section


class Rehearsal(Section):
    """Old tasks among the examples, and what part of an epoch they are."""

    ratio: float
    """Share of an epoch's examples, in [0, 1); 0 where they are only kept ready for a remedy."""

    tasks: tuple[str, ...]
    """Names of the old tasks."""

    @classmethod
    def of(cls, recipe: Recipe) -> "Rehearsal | None":
        """The rehearsal that a recipe asks for; None where it has no old tasks."""
        tasks, replay = tuple(task.name for task in recipe.old_tasks), recipe.train.replay
        return cls(ratio=replay.ratio if replay else 0.0, tasks=tasks) if tasks else None


def draws_per_epoch(
    rows: Mapping[str, int], mixture: Mixture, rehearsal: Rehearsal | None = None
) -> dict[str, int]:
    """Examples that one epoch draws from each task.

    The size of an epoch is the sum of the capped row counts, whatever the strategy; the strategy
    shares it out. Rehearsed tasks come on top, with as many draws as give them their share. A task
    whose draws exceed its rows repeats some of them within an epoch.

    Args:
        rows: Task -> training rows available.
        mixture: Strategy, temperature and cap (T5, arXiv 1910.10683, section 3.5.2).
        rehearsal: Tasks that the mixture does not concern, and their share of all draws.

    Returns:
        Task -> number of draws, at least 1 where the task has rows.
    """
    old = rehearsal.tasks if rehearsal else ()
    capped = {
        task: min(count, mixture.cap) if mixture.cap else count
        for task, count in rows.items()
        if task not in old
    }
    rates = _rates(capped, mixture)
    size, whole = sum(capped.values()), sum(rates.values())
    draws = {
        task: max(1, round(size * rate / whole)) if capped[task] else 0
        for task, rate in rates.items()
    }
    there = [task for task in old if rows.get(task)]
    if rehearsal and rehearsal.ratio and there:
        each = sum(draws.values()) * rehearsal.ratio / (1 - rehearsal.ratio) / len(there)
        draws |= dict.fromkeys(there, max(1, round(each)))
    return draws


def _rates(capped: Mapping[str, int], mixture: Mixture) -> dict[str, float]:
    if mixture.strategy == "equal":
        return {task: 1.0 for task in capped}
    if mixture.strategy == "weights":
        return {task: mixture.weights[task] for task in capped}
    exponent = 1 / mixture.temperature if mixture.strategy == "temperature" else 1.0
    return {task: count**exponent for task, count in capped.items()}
