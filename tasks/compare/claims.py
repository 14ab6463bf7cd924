"""What a comparison shows: six claims, each confirmed, refuted or left undecided by intervals.

    Claim("Adapters (PEFT) forget less than full fine-tuning", "confirmed",
          "In the mean over all probes, lora keeps +0.061 (95% interval +0.038 to ...")

Values are of the deciding metric, from 0 to 1. `least` is the difference that counts: the recipe's
`registry.min_gain`, or 0.02. A whole interval below it is no gain worth having, one above it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["confirmed", "refuted", "undecided"]

ENOUGH = (500, 1000)
"""The numbers of examples that are said to suffice."""


@dataclass(frozen=True)
class Interval:
    """A difference with its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} (95% interval {self.low:+.3f} to {self.high:+.3f})"


@dataclass(frozen=True)
class Point:
    """A point of the learning curve.

    Attributes:
        examples: Training examples.
        gain: Over the base model.
        to_all: What training on all examples adds to it; None at all of them.
    """

    examples: int
    gain: Interval
    to_all: Interval | None


@dataclass(frozen=True)
class Change:
    """The change of a probe's metric.

    Attributes:
        probe: Its name.
        change: After - before.
        verdict: `kept`, `forgotten` or `uncertain`, as `tasks.forgetting.verdict` has it.
        needed_n: Rows that are likely to show a change of the size of the budget; None where that
            is 0.
        can_break: Whether the base model scores more than the budget, so that so much can be lost.
    """

    probe: str
    change: Interval
    verdict: str
    needed_n: int | None
    can_break: bool = True


@dataclass(frozen=True)
class Evidence:
    """What was measured; what could not be is None or missing.

    Attributes:
        least: The difference that counts.
        shots: Way with worked examples in its prompts -> its gain, and what full fine-tuning
            gains more; only where an example fitted, on average.
        curve: The learning curve, fewest examples first.
        probes: Way -> its probes.
        peft: What adapters keep more than full fine-tuning, mean over the probes.
        phrasings: What several phrasings gain over one, in phrasings that are new to both.
        left_out: Way -> why it was not tried.
    """

    least: float
    shots: Mapping[str, tuple[Interval, Interval]]
    curve: Sequence[Point]
    probes: Mapping[str, Sequence[Change]]
    peft: Interval | None
    phrasings: Interval | None
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """A claim, the verdict on it, and the figures behind that in a sentence."""

    claim: str
    verdict: Verdict
    evidence: str


Judged = tuple[Verdict, str]


def claims(evidence: Evidence) -> list[Claim]:
    """Judge all claims."""
    judges: dict[str, Callable[[Evidence], Judged]] = {
        "Few-shot prompting does not rescue a small model": few_shot,
        "500 to 1,000 examples suffice": examples,
        "Full fine-tuning on the task alone forgets": full_forgets,
        "Multi-task fine-tuning does not forget": multi_task_keeps,
        "Adapters (PEFT) forget less than full fine-tuning": peft,
        "Several phrasings generalize better to unseen ones": phrasings,
    }
    return [Claim(claim, *judge(evidence)) for claim, judge in judges.items()]


def few_shot(evidence: Evidence) -> Judged:
    """Whether the best prompt with worked examples stays without gain, or far behind tuning."""
    if not evidence.shots:
        return "undecided", "Worked examples do not fit into `train.max_prompt_tokens`."
    best = max(evidence.shots, key=lambda way: evidence.shots[way][0].value)
    gain, behind = evidence.shots[best]
    sentence = (
        f"Of the prompts with worked examples, {best} gains most over the bare one, {gain}; full "
        f"fine-tuning gains {behind} more."
    )
    if gain.high < evidence.least or behind.low > evidence.least:
        return "confirmed", sentence
    rescued = gain.low > evidence.least and behind.high < evidence.least
    return ("refuted" if rescued else "undecided"), sentence


def examples(evidence: Evidence) -> Judged:
    """Whether the curve has risen, and is flat, between 500 and 1,000 examples."""
    inside = [point for point in evidence.curve if ENOUGH[0] <= point.examples <= ENOUGH[1]]
    if not inside:
        return "undecided", f"There are no {ENOUGH[0]} training examples to measure with."
    last = inside[-1]
    gained = f"With {last.examples:,} examples the gain is {last.gain}"
    if last.gain.high < evidence.least:
        return "refuted", f"{gained}, less than {evidence.least:g}."
    ends = [point for point in inside if point.to_all]
    if not ends:
        return "undecided", f"{gained}; there are no more to see whether these suffice."
    point, num_all = ends[-1], evidence.curve[-1].examples
    assert point.to_all
    sentence = f"{gained}; going on from {point.examples:,} to {num_all:,} adds {point.to_all}."
    if point.gain.low > evidence.least and point.to_all.high < evidence.least:
        return "confirmed", sentence
    # Up to 1,000, what is still rising may yet become flat.
    rises = num_all > ENOUGH[1] and point.to_all.low > evidence.least
    return ("refuted" if rises else "undecided"), sentence


def full_forgets(evidence: Evidence) -> Judged:
    """Whether a probe fell past the budget."""
    return _forgets(evidence, "full")


def multi_task_keeps(evidence: Evidence) -> Judged:
    """The contrary, of training on old tasks as well."""
    contrary: dict[Verdict, Verdict] = {
        "confirmed": "refuted", "refuted": "confirmed", "undecided": "undecided",
    }  # fmt: skip
    verdict, sentence = _forgets(evidence, "multi_task")
    return contrary[verdict], sentence


def peft(evidence: Evidence) -> Judged:
    """Whether adapters keep more, on the whole."""
    if evidence.peft is None:
        return "undecided", _missing(evidence, "lora")
    sentence = f"In the mean over all probes, lora keeps {evidence.peft} against full fine-tuning."
    return _sign(evidence.peft), sentence


def phrasings(evidence: Evidence) -> Judged:
    """Whether a model trained on several phrasings is better in new ones."""
    if evidence.phrasings is None:
        return "undecided", _missing(evidence, "one_phrasing")
    sentence = (
        f"In phrasings new to both, many phrasings gain {evidence.phrasings} over a single one."
    )
    return _sign(evidence.phrasings), sentence


def _sign(difference: Interval) -> Verdict:
    if difference.low > 0:
        return "confirmed"
    return "refuted" if difference.high < 0 else "undecided"


def _forgets(evidence: Evidence, way: str) -> Judged:
    measured = evidence.probes.get(way, ())
    if not measured:
        return "undecided", _missing(evidence, way)
    probes = [probe for probe in measured if probe.can_break]
    if not probes:
        return "undecided", "The base model scores no more than the budget on any probe."
    lost = [probe for probe in probes if probe.verdict == "forgotten"]
    worst = min(lost or probes, key=lambda probe: probe.change.value)
    if lost:
        sentence = (
            f"{len(lost)} of {len(probes)} probes fell past the budget, {worst.probe} furthest"
        )
        return "confirmed", f"{way}: {sentence}: {worst.change}."
    sentence = f"{way}: no probe fell past the budget for sure; {worst.probe} fell furthest"
    if all(probe.verdict == "kept" for probe in probes):
        return "refuted", f"{sentence}: {worst.change}; all are within it."
    unsure = [probe for probe in probes if probe.verdict == "uncertain"]
    rows = max(probe.needed_n or 0 for probe in unsure)
    more = f"{len(unsure)} of {len(probes)} may have"
    more += f", and need up to {rows:,} rows each to tell" if rows else ""
    return "undecided", f"{sentence}: {worst.change}; {more}."


def _missing(evidence: Evidence, way: str) -> str:
    return f"Not measured: {evidence.left_out.get(way, 'the recipe has no probes')}."
