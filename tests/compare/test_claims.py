"""The verdicts are a pure function of intervals: every one can be reached, and where they turn."""

from dataclasses import replace

import pytest

from tasks.compare.claims import (
    Change,
    Evidence,
    Interval,
    Point,
    claims,
    examples,
    few_shot,
    full_forgets,
    multi_task_keeps,
    peft,
    phrasings,
)

NOTHING = Evidence(
    least=0.02, shots={}, curve=(), probes={}, peft=None, phrasings=None, left_out={}
)


def between(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high)


@pytest.mark.parametrize(
    ("gain", "behind", "verdict"),
    [
        (between(-0.03, 0.01), between(-0.05, 0.05), "confirmed"),  # no gain worth having
        (between(0.03, 0.05), between(0.03, 0.09), "confirmed"),  # a gain, but far behind
        (between(0.03, 0.05), between(-0.01, 0.01), "refuted"),  # as good as tuning
        (between(0.01, 0.05), between(-0.01, 0.01), "undecided"),
        (between(0.03, 0.05), between(0.01, 0.03), "undecided"),
        (between(-0.02, 0.02), between(0.02, 0.09), "undecided"),  # on the line is not past it
    ],
)
def test_few_shot(gain: Interval, behind: Interval, verdict: str) -> None:
    worse = (between(-0.5, -0.4), between(0.5, 0.6))
    evidence = replace(NOTHING, shots={"one_shot": worse, "few_shot": (gain, behind)})
    judged, told = few_shot(evidence)
    assert judged == verdict
    assert "few_shot gains most" in told and str(gain) in told and str(behind) in told


def curve(*points: tuple[int, Interval, Interval | None]) -> Evidence:
    return replace(NOTHING, curve=[Point(*point) for point in points])


GAIN, NO_GAIN = between(0.05, 0.09), between(-0.03, 0.01)
FLAT, RISES, UNSURE = between(-0.01, 0.01), between(0.03, 0.05), between(0.0, 0.05)


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (curve((500, GAIN, FLAT), (794, GAIN, None)), "confirmed"),
        (curve((500, GAIN, RISES), (1000, GAIN, FLAT), (5000, GAIN, None)), "confirmed"),
        (curve((500, GAIN, RISES), (1000, GAIN, RISES), (5000, GAIN, None)), "refuted"),
        (curve((500, NO_GAIN, RISES), (1000, NO_GAIN, RISES), (5000, GAIN, None)), "refuted"),
        (curve((500, GAIN, RISES), (794, GAIN, None)), "undecided"),  # 1,000 may yet suffice
        (curve((500, GAIN, UNSURE), (794, GAIN, None)), "undecided"),
        (curve((500, between(0.01, 0.09), FLAT), (794, GAIN, None)), "undecided"),
        (curve((125, GAIN, FLAT), (499, GAIN, None)), "undecided"),
        (curve((125, GAIN, FLAT), (500, GAIN, None)), "undecided"),  # nothing to compare it with
        (curve((500, NO_GAIN, FLAT), (1001, GAIN, None)), "refuted"),
    ],
)
def test_examples(evidence: Evidence, verdict: str) -> None:
    assert examples(evidence)[0] == verdict


def probe(
    name: str, verdict: str, value: float, needed: int | None = 300, can_break: bool = True
) -> Change:
    return Change(name, Interval(value, value - 0.02, value + 0.02), verdict, needed, can_break)


UNKNOWN = probe("c", "kept", 0.0, can_break=False)
"""What the base model can't do either."""


def test_no_number_of_rows_shows_a_drop_of_nothing() -> None:
    probes = [probe("a", "uncertain", -0.01, needed=None), probe("b", "kept", 0.0, needed=None)]
    told = full_forgets(replace(NOTHING, probes={"full": probes}))[1]
    assert told.endswith("; 1 of 2 may have.")


@pytest.mark.parametrize(
    ("probes", "full", "multi_task"),
    [
        ([probe("a", "kept", 0.0), probe("b", "forgotten", -0.3)], "confirmed", "refuted"),
        ([probe("a", "uncertain", -0.4), probe("b", "forgotten", -0.3)], "confirmed", "refuted"),
        ([probe("a", "kept", 0.0), probe("b", "kept", 0.01)], "refuted", "confirmed"),
        ([probe("a", "kept", 0.0), probe("b", "uncertain", -0.04)], "undecided", "undecided"),
        ([probe("a", "kept", 0.0), UNKNOWN], "refuted", "confirmed"),
        ([probe("a", "forgotten", -0.3), UNKNOWN], "confirmed", "refuted"),
    ],
)
def test_forgetting(probes: list[Change], full: str, multi_task: str) -> None:
    evidence = replace(NOTHING, probes={"full": probes, "multi_task": probes})
    assert full_forgets(evidence)[0] == full
    judged, told = multi_task_keeps(evidence)
    assert judged == multi_task
    # The evidence names what decided: where something was forgotten, that and no doubtful probe.
    decisive = [p for p in probes if p.verdict == "forgotten"] or probes
    worst = min(decisive, key=lambda p: p.change.value)
    assert worst.probe in told and str(worst.change) in told
    if judged == "undecided":
        assert "300 rows" in told


def test_what_the_base_model_can_not_do_proves_nothing() -> None:
    evidence = replace(NOTHING, probes={"full": [UNKNOWN]})
    assert full_forgets(evidence) == (
        "undecided",
        "The base model scores no more than the budget on any probe.",
    )


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (between(0.001, 0.2), "confirmed"),
        (between(-0.2, -0.001), "refuted"),
        (between(0.0, 0.2), "undecided"),
        (between(-0.2, 0.0), "undecided"),
    ],
)
def test_signs(difference: Interval, verdict: str) -> None:
    evidence = replace(NOTHING, peft=difference, phrasings=difference)
    for judge in (peft, phrasings):
        judged, told = judge(evidence)
        assert judged == verdict and str(difference) in told


def test_what_was_not_measured_is_undecided_and_says_why() -> None:
    found = claims(replace(NOTHING, left_out={"lora": "fsdp", "one_phrasing": "one only"}))
    assert len(found) == 6
    assert {claim.verdict for claim in found} == {"undecided"}
    told = " ".join(claim.evidence for claim in found)
    assert "fsdp" in told and "one only" in told and "has no probes" in told
    assert "do not fit" in found[0].evidence
