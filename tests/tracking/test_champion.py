"""The paired comparison of two versions on the records that both answered."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tasks.tracking.champion import Scored, bootstrap, compare, compare_probes


def scored(
    values: dict[str, float],
    task: str = "chat",
    metric: str = "rougeL",
    prompt: str = "P ",
    references: Sequence[str] = ("r",),
) -> Scored:
    rows: list[dict[str, Any]] = [
        {"id": name, "task": task, "prompt": prompt + name, "references": list(references),
         "scores": {"tuned": {metric: value}}}
        for name, value in values.items()
    ]  # fmt: skip
    return Scored.read(rows)


def ids(count: int, first: int = 0) -> list[str]:
    return [f"{number:04d}" for number in range(first, first + count)]


def test_pairs_by_record() -> None:
    champion = scored({name: (int(name) % 7) / 10 for name in ids(200)})
    challenger = scored({name: (int(name) % 7) / 10 + 0.05 for name in ids(200)})
    result = compare(challenger, champion, {"chat": "rougeL"}, "3")
    # Every record is better by the same, so pairing leaves no doubt at all.
    assert result.difference is not None
    assert (result.version, result.metric) == ("3", "rougeL")
    assert result.difference.value == pytest.approx(0.05)
    assert result.difference.low == pytest.approx(0.05)
    assert result.own is not None
    assert result.own.value == pytest.approx(sum(number % 7 for number in range(200)) / 2000)
    assert result.own.low < result.own.value < result.own.high


@pytest.mark.parametrize(("changed", "is_sure"), [(1, False), (3, False), (5, False), (6, True)])
def test_a_handful_of_records_decides_nothing(changed: int, is_sure: bool) -> None:
    champion, better = scored(dict.fromkeys(ids(8), 0.0)), dict.fromkeys(ids(8), 0.0)
    challenger = scored(better | dict.fromkeys(ids(changed), 1.0))
    found = compare(challenger, champion, {"chat": "rougeL"}, "3").difference
    assert found is not None and (found.low > 0) is is_sure
    lost = compare_probes(champion, challenger, {"chat": "rougeL"})["chat"]
    assert (lost.high < 0) is is_sure


def test_a_figure_of_the_whole_set_is_not_told_by_a_mean() -> None:
    values = {name: int(name) % 2 for name in ids(20)}
    both = scored(values, metric="bleu")
    result = compare(both, both, {"chat": "bleu"}, "3")
    assert result.difference is not None and result.own is None


def each(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.column_stack([values, np.ones(len(values))])


def test_interval_agrees_with_the_normal_approximation() -> None:
    differences = np.random.default_rng(1).normal(0.1, 1.0, 900)
    interval = bootstrap([each(differences)])
    half = 1.96 * differences.std() / 30
    assert interval.value == pytest.approx(differences.mean())
    assert interval.low == pytest.approx(differences.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(differences.mean() + half, abs=0.01)


def test_tasks_count_alike() -> None:
    # 30 records that gain 0.2, 10 that lose 0.2: the mean over tasks is 0.
    values = np.full(30, 0.2), np.full(10, -0.2)
    assert bootstrap([each(task) for task in values]).value == pytest.approx(0.0)


def test_records_of_one_group_are_one_piece_of_evidence() -> None:
    """Repeated five times, twelve records are no more certain than once."""
    gains = {name: 0.3 if int(name) % 3 else -0.2 for name in ids(12)}
    copies = {f"{copy} {name}": gain for copy in range(5) for name, gain in gains.items()}

    def against_zero(gains: dict[str, float], groups: bool) -> Any:
        base, tuned = scored(dict.fromkeys(gains, 0.0)), scored(gains)
        by_record = {record: record[1].split()[-1] for record in tuned.by_record}
        challenger = Scored(tuned.by_record, by_record if groups else {})
        return compare(challenger, base, {"chat": "rougeL"}, "3").difference

    once, grouped = against_zero(gains, False), against_zero(copies, True)
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high))
    apart = against_zero(copies, False)
    assert apart.high - apart.low < 0.6 * (once.high - once.low)


@pytest.mark.parametrize(
    ("shift", "comparable", "share"), [(10, True, 90), (11, False, 89), (100, False, 0)]
)
def test_needs_nine_records_of_ten(shift: int, comparable: bool, share: int) -> None:
    challenger = scored(dict.fromkeys(ids(100), 0.5))
    champion = scored(dict.fromkeys(ids(100, shift), 0.4))
    result = compare(challenger, champion, {"chat": "rougeL"}, "3")
    assert (result.difference is not None) is comparable
    assert comparable or f"only {share} of the 100 test records" in result.why_not_comparable


def test_another_prompt_is_another_question() -> None:
    values = dict.fromkeys(ids(10), 0.5)
    result = compare(scored(values), scored(values, prompt="Q "), {"chat": "rougeL"}, "3")
    assert "only 0 of the 10" in result.why_not_comparable


def test_other_references_are_another_yardstick() -> None:
    values = dict.fromkeys(ids(10), 0.5)
    two = scored(values, references=["r", "another one"])
    result = compare(two, scored(values), {"chat": "rougeL"}, "3")
    assert "only 0 of the 10" in result.why_not_comparable


def test_a_metric_of_the_whole_set_is_replaced_by_one_of_its_records() -> None:
    values = dict.fromkeys(ids(10), 1.0)
    both = scored(values, metric="accuracy")
    assert compare(both, both, {"chat": "macro_f1"}, "3").metric == "accuracy"
    other = scored(values, metric="exact_match")
    assert "chat" in compare(both, other, {"chat": "macro_f1"}, "3").why_not_comparable
