"""The rows of the report's figures: what was measured, who is ahead by how much, what changed.

Block("support_summary", "rougeL", True, True, [Figure("tuned", "tuned", 0.34, 0.32, 0.36), ...])
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report.grids import way_name
from tasks.scoring.metrics import MEAN
from tasks.tracking.decision import ChampionEvidence, Interval

Entry = Mapping[str, Any]
"""A figure in a JSON file of a stage, with `value`, `low`, `high` and more."""

UNDECIDED = "undecided"


@dataclass(frozen=True)
class Figure:
    """A measured value with its 95% interval.

    Attributes:
        kind: A way, `champion` or `human`.
        name: What to call it.
        value: In 0..1.
        low: Lower end of the interval.
        high: Upper end.
    """

    kind: str
    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Block:
    """One metric of one task, for every way.

    Attributes:
        task: The task; empty for the mean of all.
        metric: Its name.
        higher_is_better: The direction.
        decides: Whether promotion depends on it.
        num_records: Test records behind it.
        figures: One for each way that has it.
    """

    task: str
    metric: str
    higher_is_better: bool
    decides: bool
    num_records: int
    figures: Sequence[Figure]

    @property
    def right(self) -> float:
        """The right edge of a picture of all of them."""
        return max(figure.high for figure in self.figures) or 1.0


@dataclass(frozen=True)
class Change:
    """A difference with its 95% interval, and what it means.

    Attributes:
        name: What it is a difference to, or of.
        value: Positive is better.
        low: Lower end of the interval.
        high: Upper end.
        verdict: What follows from it, in words.
    """

    name: str
    value: float
    low: float
    high: float
    verdict: str


def blocks(metrics: Entry, champion: ChampionEvidence | None) -> list[Block]:
    """Every metric of every task.

    Args:
        metrics: `metrics.json` of the test stage.
        champion: The comparison with the version in service, if there is one.
    """
    tasks, better = metrics["tasks"], metrics["higher_is_better"]
    own = _champion(champion)
    found = []
    if len(tasks) > 1:
        ways = {way: {MEAN: figures[MEAN]} for way, figures in metrics["ways"].items()}
        found.append(_block("", MEAN, True, True, ways, own))
    for task, entry in tasks.items():
        for metric in entry["ways"]["tuned"]:
            is_sole = len(tasks) == 1 and metric == entry["primary"]
            extra = _human(entry["human"].get(metric)) + (own if is_sole else [])
            decides = metric == entry["primary"]
            found.append(_block(task, metric, better[metric], decides, entry["ways"], extra))
    return found


def gains(metrics: Entry, champion: ChampionEvidence | None) -> list[Change]:
    """How far the tuned model is ahead of each other way, by the deciding metric.

    Args:
        metrics: `metrics.json` of the test stage.
        champion: The comparison with the version in service, if there is one.
    """
    found = [
        _gain(way_name(name.removeprefix("tuned-")), entry["macro"], metrics["min_effect"], "p")
        for name, entry in metrics["differences"].items()
    ]
    if champion is not None and (ahead := champion.difference) is not None:
        ends = _ends(ahead)
        found.append(Change(f"champion, version {champion.version}", *ends, _sided(*ends[1:])))
    return found


def task_gains(metrics: Entry) -> list[Change]:
    """How far the tuned model is ahead of the base model on each of several tasks.

    Args:
        metrics: `metrics.json` of the test stage.
    """
    entries = metrics["differences"]["tuned-base"]["tasks"]
    if len(entries) < 2:
        return []
    return [
        _gain(f"{name}, {entry['metric']}", entry, metrics["min_effect"], "p_holm")
        for name, entry in entries.items()
    ]


def probe_changes(forgetting: Entry) -> list[tuple[Change, Entry]]:
    """What became of each probe, the worst first.

    Args:
        forgetting: `probes.json` of the forgetting stage.
    """
    probes = sorted(forgetting["probes"].items(), key=lambda item: item[1]["delta"])
    return [
        (Change(name, probe["delta"], probe["low"], probe["high"], _kept(probe)), probe)
        for name, probe in probes
    ]


def champion_changes(champion: ChampionEvidence | None) -> list[Change]:
    """How far the tuned model is ahead of the champion on each probe, the worst first.

    Args:
        champion: The comparison with the version in service, if there is one.
    """
    if champion is None:
        return []
    return [
        Change(name, *_ends(change), _sided(change.low, change.high))
        for name, change in sorted(champion.probes.items(), key=lambda item: item[1].value)
    ]


def edges(changes: Iterable[Change], *others: float) -> tuple[float, float]:
    """The range that holds all intervals, zero and other figures."""
    ends = [0.0, *others, *(end for change in changes for end in (change.low, change.high))]
    return min(ends), max(ends) if max(ends) > min(ends) else min(ends) + 1.0


def _block(
    task: str, metric: str, better: bool, decides: bool, ways: Entry, extra: Sequence[Figure]
) -> Block:
    figures = [_figure(way, way_name(way), entries[metric]) for way, entries in ways.items()]
    return Block(task, metric, better, decides, ways["tuned"][metric]["n"], [*figures, *extra])


def _figure(kind: str, name: str, entry: Entry) -> Figure:
    return Figure(kind, name, entry["value"], entry["low"], entry["high"])


def _human(entry: Entry | None) -> list[Figure]:
    if entry is None:
        return []
    return [_figure("human", f"human ceiling ({entry['n']} records)", entry)]


def _champion(champion: ChampionEvidence | None) -> list[Figure]:
    if champion is None or champion.own is None:
        return []
    return [Figure("champion", f"champion, version {champion.version}", *_ends(champion.own))]


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def _gain(name: str, entry: Entry, effect: float, p_name: str) -> Change:
    verdict, p, needed = _sided(entry["low"], entry["high"]), entry[p_name], entry["needed_n"]
    verdict += ", p < 0.001" if p < 0.001 else f", p {p:.3f}"
    if verdict.startswith(UNDECIDED) and needed:
        more = f"about {needed:,} records would show {effect:g}"
        enough = f"a difference of {effect:g} would have shown"
        verdict += f"; {more if needed > entry['n'] else enough}"
    return Change(name, entry["value"], entry["low"], entry["high"], verdict)


def _sided(low: float, high: float) -> str:
    return "better" if low > 0 else "worse" if high < 0 else UNDECIDED


def _kept(probe: Entry) -> str:
    verdict, needed = str(probe["verdict"]), probe["needed_n"]
    wants_more = verdict == "uncertain" and needed and needed > probe["n"]
    return f"{verdict}; about {needed:,} rows would tell" if wants_more else verdict
