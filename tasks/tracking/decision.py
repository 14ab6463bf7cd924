"""Whether a model version deserves promotion: figures in, a decision and its reasons out.

    Decision(promote=True, reasons=(
        "ROUGE-L rose from 0.05 to 0.34 (gain 0.29, 95% interval 0.26 to 0.31).",
        "The probe did not fall by more than the budget of 0.05 (lowest: xnli, 0.81 to 0.79).",
        "There is no champion yet to be compared with."))

All figures lie in 0..1; higher is better, except for fabrication. Nothing is promoted on a figure
that may be chance: what counts is the end of the 95% interval.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.scoring.metrics import MEAN


@dataclass(frozen=True)
class Interval:
    """A figure and its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ProbeChange:
    """What fine-tuning did to one probe: its metric before and after, and the difference."""

    before: float
    after: float
    delta: Interval
    has_too_few_rows: bool = False
    """Whether it has too few rows to have observed a drop as large as the budget."""


@dataclass(frozen=True)
class ChampionEvidence:
    """How the challenger does against the version in service, on the same records.

    All differences are challenger minus champion, paired by record.

    Attributes:
        version: The champion's version.
        metric: What was compared.
        difference: Of the test records; None where not comparable.
        why_not_comparable: The reason and what to do; empty where comparable.
        probes: Probe -> difference of its metric.
        fabrication: Difference of the share of facts that the source does not have; None where
            it was not measured.
        own: The champion's own figure on the test records; None where not comparable, or where the
            metric is no mean over records.
    """

    version: str
    metric: str
    difference: Interval | None
    why_not_comparable: str = ""
    probes: Mapping[str, Interval] = field(default_factory=dict)
    fabrication: Interval | None = None
    own: Interval | None = None


@dataclass(frozen=True)
class Gates:
    """What the recipe demands of a champion.

    Attributes:
        min_gain: The gain must be above this.
        max_drop: The budget: the largest drop of a probe that is tolerated.
        beat_few_shot: It must be better than the base model with examples in its prompt.
        fabrication_not_worse: It may not fabricate more than the champion.
    """

    min_gain: float
    max_drop: float
    beat_few_shot: bool
    fabrication_not_worse: bool


@dataclass(frozen=True)
class Evidence:
    """All that the decision rests on.

    Attributes:
        metric: The deciding metric's name.
        base: The base model's figure on the test split.
        tuned: The tuned model's.
        gain: Tuned minus base, paired by record.
        tasks: Task -> its own gain; where there are several, `gain` is their mean.
        few_shot: Tuned minus the best few-shot prompt, paired by record; None where none was
            measured.
        probes: Probe name -> what happened to it.
        gates: What the recipe demands.
        champion: The comparison with the version in service; None where there is no such version.
        remarks: What else there is to say of the version, in sentences; they decide nothing.
    """

    metric: str
    base: Interval
    tuned: Interval
    gain: Interval
    tasks: Mapping[str, Interval]
    few_shot: Interval | None
    probes: Mapping[str, ProbeChange]
    gates: Gates
    champion: ChampionEvidence | None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and all the reasons for and against, in plain words."""

    promote: bool
    reasons: tuple[str, ...]


Verdict = tuple[bool, str]


def decide(evidence: Evidence) -> Decision:
    """Judge a version by every rule; each has to be kept.

    Args:
        evidence: The figures.

    Returns:
        The decision; promotion needs every one of the rules.
    """
    verdicts = [
        _judge_gain(evidence),
        *_tell_worse_tasks(evidence.tasks),
        *_judge_few_shot(evidence),
        *_judge_probes(evidence.probes, evidence.gates.max_drop),
        *_judge_champion(evidence.champion, evidence.gates),
        *((True, remark) for remark in evidence.remarks),
    ]
    return Decision(all(good for good, _ in verdicts), tuple(reason for _, reason in verdicts))


def awaiting_approval(decision: Decision, model: str, why: str) -> Decision:
    """A decision to promote, put off until a person agrees.

    Args:
        decision: To promote.
        model: The registered model.
        why: What there is to say of the version.
    """
    waits = f"{why}: it waits for approval: `retune promote {model} --approve`."
    return Decision(False, (*decision.reasons, waits))


def _judge_gain(evidence: Evidence) -> Verdict:
    base, tuned, gain = evidence.base.value, evidence.tuned.value, evidence.gain
    verb = "rose" if tuned > base else "fell"
    moved = f"{verb} from {figure(base)} to" if tuned != base else "stayed at"
    change = f"{_named(evidence.metric)} {moved} {figure(tuned)}"
    measured = f"gain {figure(gain.value)}, 95% interval {span(gain)}"
    if gain.low > evidence.gates.min_gain:
        return True, f"{change} ({measured})."
    needed = f"above {figure(evidence.gates.min_gain)}"
    link = "but" if tuned > base else "and"
    return False, f"{change}, {link} the gain is not certain to be {needed} ({measured})."


def _named(metric: str, of: str = "") -> str:
    """A metric in words: several tasks are judged by the mean of their deciding ones."""
    return "the mean of the tasks' metrics" if metric == MEAN else f"{of}{metric}"


def _tell_worse_tasks(tasks: Mapping[str, Interval]) -> list[Verdict]:
    """The tasks that certainly got worse, by name: a mean hides them. They decide nothing."""
    worse = {name: gain for name, gain in tasks.items() if gain.high < 0.0}
    if len(tasks) < 2 or not worse:
        return []
    listed = (f"{name} ({figure(gain.value)}, {span(gain)})" for name, gain in worse.items())
    return [(True, f"Of the {len(tasks)} tasks, got worse: {', '.join(listed)}.")]


def _judge_few_shot(evidence: Evidence) -> list[Verdict]:
    ahead = evidence.few_shot
    if not evidence.gates.beat_few_shot or ahead is None:
        return []
    measured = f"({_measured(ahead)})."
    if ahead.low > 0.0:
        return [(True, f"It is better than the base model with a few-shot prompt {measured}")]
    return [(False, f"It is not certain to be better than a few-shot prompt {measured}")]


def _judge_probes(probes: Mapping[str, ProbeChange], max_drop: float) -> list[Verdict]:
    if not probes:
        return [(True, "No probe was measured, so it is not known what the model forgot.")]
    by_delta = sorted(probes.items(), key=lambda item: _worst_first(item[1]))
    verdicts = [
        (False, _broken(name, probe, max_drop))
        for name, probe in by_delta
        if not _within_budget(probe, max_drop)
    ]
    return verdicts or [(True, _kept(by_delta, max_drop))]


def _worst_first(probe: ProbeChange) -> float:
    return -math.inf if math.isnan(probe.delta.value) else probe.delta.value


def _within_budget(probe: ProbeChange, max_drop: float) -> bool:
    # Written so that a figure that is not a number is not within the budget.
    return probe.delta.value >= -max_drop or probe.delta.high >= 0.0


def _broken(name: str, probe: ProbeChange, max_drop: float) -> str:
    if math.isnan(probe.delta.value):
        return f"{name} could not be measured."
    fell = f"{name} fell from {figure(probe.before)} to {figure(probe.after)}"
    return (
        f"{fell}, which is more than the budget of {figure(max_drop)} "
        f"(95% interval of the change {span(probe.delta)})."
    )


def _kept(by_delta: list[tuple[str, ProbeChange]], max_drop: float) -> str:
    name, probe = by_delta[0]
    which = f"None of the {len(by_delta)} probes" if len(by_delta) > 1 else "The probe"
    verb = "fell" if len(by_delta) > 1 else "did not fall"
    change = f"{name}, {figure(probe.before)} to {figure(probe.after)}"
    budget = f"{which} {verb} by more than the budget of {figure(max_drop)}"
    few = [name for name, probe in by_delta if probe.has_too_few_rows]
    unsure = f" Too few rows to be sure of it: {', '.join(few)}." if few else ""
    low = [
        f"{name} ({figure(probe.before)})" for name, probe in by_delta if probe.before <= max_drop
    ]
    unsure += f" Too low before to fall by more: {', '.join(low)}." if low else ""
    if probe.delta.value < -max_drop:
        uncertain = f"95% interval {span(probe.delta)} includes no change"
        return f"{budget} beyond what may be chance (lowest: {change}; {uncertain}).{unsure}"
    return f"{budget} (lowest: {change}).{unsure}"


def _judge_champion(champion: ChampionEvidence | None, gates: Gates) -> list[Verdict]:
    if champion is None:
        return [(True, "There is no champion yet to be compared with.")]
    name = f"the champion, version {champion.version}"
    if champion.difference is None:
        return [(False, f"It can't be compared with {name}: {champion.why_not_comparable}")]
    verdicts = [_judge_difference(champion.difference, name, champion.metric)]
    verdicts += [
        (False, f"{probe} is lower than with {name} ({_measured(change)}).")
        for probe, change in champion.probes.items()
        if change.value < -gates.max_drop and change.high < 0.0
    ]
    more = champion.fabrication
    if gates.fabrication_not_worse and more is not None:
        verdict = "fabricates more" if more.low > 0.0 else "does not certainly fabricate more"
        verdicts.append((more.low <= 0.0, f"It {verdict} than {name} ({_measured(more)})."))
    return verdicts


def _judge_difference(difference: Interval, name: str, metric: str) -> Verdict:
    on = f"in {_named(metric, 'mean ')} of the same test records ({_measured(difference)})."
    if difference.low > 0.0:
        return True, f"It is better than {name}, {on}"
    if difference.high < 0.0:
        return False, f"It is worse than {name}, {on}"
    return False, f"It is not certain to be better than {name}, {on}"


def _measured(difference: Interval) -> str:
    return f"difference {figure(difference.value)}, 95% interval {span(difference)}"


def figure(value: float) -> str:
    """A figure for people: two decimals, or two significant digits where it is small."""
    if value and abs(value) < 0.01:
        return f"{value:.2g}" if abs(value) >= 1e-4 else f"{value:.0e}"
    return f"{value:.2f}"


def span(interval: Interval) -> str:
    """The ends of an interval, for people."""
    return f"{figure(interval.low)} to {figure(interval.high)}"
