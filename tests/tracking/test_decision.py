"""Every rule of the decision, and what it says."""

import math
from typing import Any

import pytest

from tasks.tracking.decision import (
    ChampionEvidence,
    Decision,
    Evidence,
    Gates,
    Interval,
    ProbeChange,
    awaiting_approval,
    decide,
    figure,
)

NAN = Interval(math.nan, math.nan, math.nan)


def decided(
    gain: tuple[float, float, float] = (0.29, 0.26, 0.31),
    champion: ChampionEvidence | None = None,
    probes: dict[str, ProbeChange] | None = None,
    gates: dict[str, Any] | None = None,
    **changes: Any,
) -> Decision:
    demanded: dict[str, Any] = {
        "min_gain": 0.0, "max_drop": 0.05, "beat_few_shot": True, "fabrication_not_worse": True,
    }  # fmt: skip
    figures: dict[str, Any] = {
        "metric": "rougeL",
        "base": Interval(0.05, 0.04, 0.06),
        "tuned": Interval(0.05 + gain[0], 0.3, 0.36),
        "gain": Interval(*gain),
        "tasks": {},
        "probes": {} if probes is None else probes,
        "few_shot": None,
        "gates": Gates(**(demanded | (gates or {}))),
        "champion": champion,
    }
    return decide(Evidence(**(figures | changes)))


def probe(before: float, delta: float, low: float, high: float) -> ProbeChange:
    return ProbeChange(before, before + delta, Interval(delta, low, high))


def champion(value: float, low: float, high: float, **more: Any) -> ChampionEvidence:
    return ChampionEvidence("3", "rougeL", Interval(value, low, high), **more)


@pytest.mark.parametrize(
    ("changes", "promote", "said"),
    [
        # The gain.
        ({}, True, "rougeL rose from 0.05 to 0.34 (gain 0.29, 95% interval 0.26 to 0.31)."),
        ({"gain": (0.01, -0.01, 0.03)}, False, "the gain is not certain to be above 0.00"),
        ({"gain": (0.01, 0.0, 0.03)}, False, "(gain 0.01, 95% interval 0.00 to 0.03)"),
        ({"gain": (-0.02, -0.03, -0.01)}, False, "rougeL fell from 0.05 to 0.03"),
        ({"gain": (0.0, -0.01, 0.01)}, False, "rougeL stayed at 0.05,"),
        (
            {"gain": (0.04, 0.02, 0.06), "gates": {"min_gain": 0.03}},
            False,
            "certain to be above 0.03",
        ),
        (
            {"gain": (0.04, 0.035, 0.06), "gates": {"min_gain": 0.03}},
            True,
            "rose from 0.05 to 0.09",
        ),
        ({"gain": (math.nan, math.nan, math.nan)}, False, "not certain"),
        # The few-shot prompt.
        (
            {"few_shot": Interval(0.1, 0.05, 0.15)},
            True,
            "It is better than the base model with a few-shot prompt (difference 0.10, 95% "
            "interval 0.05 to 0.15).",
        ),
        ({"few_shot": Interval(0.1, -0.01, 0.2)}, False, "not certain to be better than a few-"),
        ({"few_shot": NAN}, False, "not certain to be better than a few-shot prompt"),
        (
            {"few_shot": Interval(-0.1, -0.2, -0.1), "gates": {"beat_few_shot": False}},
            True,
            "rougeL rose",
        ),
        # The probes.
        ({"probes": {}}, True, "No probe was measured"),
        (
            {"probes": {"entities": probe(0.81, -0.21, -0.25, -0.17)}},
            False,
            "entities fell from 0.81 to 0.60, which is more than the budget of 0.05 "
            "(95% interval of the change -0.25 to -0.17).",
        ),
        (
            {"probes": {"entities": probe(0.81, -0.05, -0.07, -0.03)}},
            True,
            "The probe did not fall by more than the budget of 0.05 (lowest: entities, 0.81 to "
            "0.76).",
        ),
        (
            {"probes": {"a": probe(0.5, -0.06, -0.13, 0.01), "b": probe(0.5, 0.1, 0.0, 0.2)}},
            True,
            "None of the 2 probes fell by more than the budget of 0.05 beyond what may be chance "
            "(lowest: a, 0.50 to 0.44; 95% interval -0.13 to 0.01 includes no change).",
        ),
        (
            {"probes": {"a": probe(0.5, -0.06, -0.09, -0.01)}, "gates": {"max_drop": 0.1}},
            True,
            "(lowest: a, 0.50 to 0.44)",
        ),
        (
            {
                "probes": {
                    "a": ProbeChange(0.5, 0.5, Interval(0.0, 0.0, 0.0), has_too_few_rows=True)
                }
            },
            True,
            "(lowest: a, 0.50 to 0.50). Too few rows to be sure of it: a.",
        ),
        (
            {"probes": {"a": probe(0.5, 0.0, 0.0, 0.0), "b": probe(0.04, -0.04, -0.05, -0.02)}},
            True,
            "(lowest: b, 0.04 to 0.00). Too low before to fall by more: b (0.04).",
        ),
        ({"probes": {"a": ProbeChange(0.5, math.nan, NAN)}}, False, "a could not be measured."),
        # The champion.
        ({"champion": None}, True, "There is no champion yet to be compared with."),
        (
            {"champion": champion(0.03, 0.01, 0.05)},
            True,
            "It is better than the champion, version 3, in mean rougeL of the same test records "
            "(difference 0.03, 95% interval 0.01 to 0.05).",
        ),
        ({"champion": champion(0.0, -0.01, 0.01)}, False, "not certain to be better than"),
        ({"champion": champion(0.0, 0.0, 0.0)}, False, "not certain to be better than"),
        ({"champion": champion(-0.03, -0.05, -0.01)}, False, "It is worse than the champion"),
        (
            {"champion": champion(0.03, 0.01, 0.05, probes={"mood": Interval(-0.2, -0.3, -0.1)})},
            False,
            "mood is lower than with the champion, version 3 (difference -0.20, 95% interval -0.30 "
            "to -0.10).",
        ),
        (
            {"champion": champion(0.03, 0.01, 0.05, probes={"mood": Interval(-0.2, -0.3, 0.1)})},
            True,
            "better than the champion",
        ),
        (
            {"champion": champion(0.03, 0.01, 0.05, probes={"mood": Interval(-0.04, -0.3, -0.1)})},
            True,
            "better than the champion",
        ),
        (
            {"champion": champion(0.03, 0.01, 0.05, fabrication=Interval(0.1, 0.05, 0.2))},
            False,
            "It fabricates more than the champion, version 3 (difference 0.10,",
        ),
        (
            {"champion": champion(0.03, 0.01, 0.05, fabrication=Interval(0.1, -0.05, 0.2))},
            True,
            "It does not certainly fabricate more than the champion",
        ),
        (
            {
                "champion": champion(0.03, 0.01, 0.05, fabrication=Interval(0.1, 0.05, 0.2)),
                "gates": {"fabrication_not_worse": False},
            },
            True,
            "better than the champion",
        ),
        (
            {"champion": ChampionEvidence("3", "rougeL", None, "another test set. Do this.")},
            False,
            "It can't be compared with the champion, version 3: another test set. Do this.",
        ),
    ],
)
def test_rules(changes: dict[str, Any], promote: bool, said: str) -> None:
    decision = decided(**changes)
    assert decision.promote is promote
    assert any(said in reason for reason in decision.reasons), decision.reasons


def test_the_mean_over_tasks_is_told_in_words() -> None:
    rival = ChampionEvidence("3", "macro/primary", Interval(0.04, 0.02, 0.06))
    reasons = " ".join(decided(metric="macro/primary", champion=rival).reasons)
    assert reasons.count("the mean of the tasks' metrics") == 2
    assert "macro/primary" not in reasons


def test_all_reasons_are_given_and_the_worst_probe_comes_first() -> None:
    probes = {
        "mild": probe(0.5, -0.06, -0.08, -0.04),
        "fine": probe(0.5, 0.0, -0.01, 0.01),
        "worst": probe(0.5, -0.2, -0.3, -0.1),
    }
    decision = decided(gain=(0.0, -0.1, 0.1), probes=probes, champion=champion(0.1, 0.05, 0.2))
    starts = [reason.split()[0] for reason in decision.reasons]
    assert starts == ["rougeL", "worst", "mild", "It"]
    assert not decision.promote


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.346, "0.35"), (0.0, "0.00"), (-0.004, "-0.004"), (0.00049, "0.00049"), (1.0, "1.00")],
)
def test_figures(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_a_task_that_got_worse_is_named_and_decides_nothing() -> None:
    gains = {
        "chat": Interval(0.3, 0.2, 0.4),
        "mail": Interval(-0.07, -0.09, -0.05),
        "mood": Interval(-0.02, -0.04, 0.01),
    }
    decision = decided(tasks=gains)
    assert decision.promote
    assert decision.reasons[1] == "Of the 3 tasks, got worse: mail (-0.07, -0.09 to -0.05)."
    assert decided(tasks={"chat": gains["chat"], "mood": gains["mood"]}) == decided()
    assert decided(tasks={"mail": gains["mail"]}) == decided()


def test_approval_puts_a_promotion_off() -> None:
    put_off = awaiting_approval(decided(), "summarizer", "It is good")
    assert not put_off.promote
    assert put_off.reasons[:-1] == decided().reasons
    said = "It is good: it waits for approval: `retune promote summarizer --approve`."
    assert put_off.reasons[-1] == said
