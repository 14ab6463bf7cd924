"""Intervals against theory and scipy, for means and for metrics of a whole set."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from tasks.scoring.answers import FloatArray, f1, mean
from tasks.scoring.statistics import (
    Estimate,
    detectable,
    difference,
    estimates,
    holm,
    interval,
    macro_average,
    needed_examples,
    p_value,
)

RESAMPLES = 4000


def as_mean(values: FloatArray) -> FloatArray:
    return np.column_stack([values, np.ones(len(values))])


def test_interval_of_a_mean_is_that_of_normal_theory() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, size=400)
    result = interval(estimates({"m": (as_mean(values), mean)}, RESAMPLES, seed=1)["m"])
    half = 1.96 * values.std() / 20
    assert result["value"] == pytest.approx(values.mean(), abs=1e-6)
    assert result["low"] == pytest.approx(values.mean() - half, abs=0.0007)
    assert result["high"] == pytest.approx(values.mean() + half, abs=0.0007)
    assert result["n"] == 400


def test_interval_of_a_skewed_mean_is_scipys_bca() -> None:
    values = np.random.default_rng(2).exponential(size=40)
    result = interval(estimates({"m": (as_mean(values), mean)}, 20_000, seed=1)["m"])
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=5)
    low, high = theirs.confidence_interval
    assert result["low"] == pytest.approx(low, abs=0.015)
    assert result["high"] == pytest.approx(high, abs=0.015)
    # A percentile interval would lie lower by more than this tolerance.
    percentile = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=5)
    assert result["high"] - percentile.confidence_interval.high > 0.015


def test_interval_of_a_ratio_is_scipys() -> None:
    counts = np.random.default_rng(3).integers(0, 4, size=(60, 3)).astype(float)

    def micro(a: FloatArray, b: FloatArray, c: FloatArray, axis: int = -1) -> FloatArray:
        return f1(np.stack([a.sum(axis), b.sum(axis), c.sum(axis)], axis=-1))

    result = interval(estimates({"f": (counts, f1)}, 20_000, seed=1)["f"])
    columns = tuple(counts.T)
    theirs = bootstrap(columns, micro, n_resamples=20_000, paired=True, vectorized=True, rng=5)
    assert result["low"] == pytest.approx(theirs.confidence_interval.low, abs=0.005)
    assert result["high"] == pytest.approx(theirs.confidence_interval.high, abs=0.005)


def test_difference_is_paired() -> None:
    random = np.random.default_rng(4)
    base = random.uniform(0, 0.8, size=200)
    better = base + random.normal(0.02, 0.01, size=200)
    known = estimates({"a": (as_mean(better), mean), "b": (as_mean(base), mean)}, RESAMPLES, seed=1)
    gap = difference(known["a"], known["b"])
    result, half = interval(gap), 1.96 * (better - base).std() / np.sqrt(200)
    assert result["low"] == pytest.approx((better - base).mean() - half, abs=0.0002)
    assert p_value(gap) < 0.001
    # Unpaired, 200 rows this scattered could not tell 0.02 apart.
    assert interval(known["a"])["low"] < interval(known["b"])["high"]


def test_identical_ways_differ_by_nothing() -> None:
    values = as_mean(np.random.default_rng(5).uniform(size=50))
    known = estimates({"a": (values, mean), "b": (values.copy(), mean)}, 1000, seed=1)
    gap = difference(known["a"], known["b"])
    assert interval(gap) == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 50}
    assert p_value(gap) == 1.0


def test_p_is_that_of_normal_theory_and_agrees_with_the_interval() -> None:
    values = np.random.default_rng(6).normal(size=300)
    values += 0.12 - values.mean()
    values /= values.std()
    gap = estimates({"d": (as_mean(values), mean)}, 20_000, seed=1)["d"]
    z = values.mean() * np.sqrt(300)
    assert z == pytest.approx(2.0, abs=0.3)
    from scipy.stats import norm

    assert p_value(gap) == pytest.approx(2 * norm.sf(z), abs=0.01)
    assert (p_value(gap) < 0.05) == (interval(gap)["low"] > 0)


@pytest.mark.parametrize("values", [[0.3], [1.0, 1.0, 1.0]])
def test_without_scatter_the_interval_is_the_value(values: list[float]) -> None:
    result = interval(estimates({"m": (as_mean(np.array(values)), mean)}, 1000, seed=1)["m"])
    assert result == {"value": values[0], "low": values[0], "high": values[0], "n": len(values)}


def test_macro_average_weighs_tasks_alike_and_resamples_each() -> None:
    random = np.random.default_rng(7)
    tasks = [random.normal(0.2, 0.1, size=400), random.normal(0.8, 0.2, size=100)]
    known = [
        estimates({"m": (as_mean(values), mean)}, RESAMPLES, seed=seed)["m"]
        for seed, values in enumerate(tasks)
    ]
    result = interval(macro_average(known))
    half = 1.96 * np.sqrt(sum(values.var() / len(values) for values in tasks)) / 2
    assert result["value"] == pytest.approx((tasks[0].mean() + tasks[1].mean()) / 2, abs=1e-6)
    assert (result["high"] - result["low"]) / 2 == pytest.approx(half, rel=0.05)
    assert result["n"] == 500


def test_seed_decides() -> None:
    scored = {"m": (as_mean(np.random.default_rng(8).uniform(size=30)), mean)}
    first, again, other = (interval(estimates(scored, 1000, s)["m"]) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_holm() -> None:
    # The example of Holm's procedure by hand: 4, 3, 2, 1 times the p values in rising order.
    assert holm([0.01, 0.04, 0.03, 0.005]) == [0.03, 0.06, 0.06, 0.02]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("changed", "p"), [(1, 1.0), (3, 0.25), (5, 0.0625), (6, 0.03125)])
@pytest.mark.parametrize("sign", [1, -1])
def test_few_rows_are_no_certainty(changed: int, p: float, sign: int) -> None:
    ones, same = np.ones(changed), np.zeros(4)  # rows that do not differ tell nothing
    right, wrong = (as_mean(np.concatenate([ones * score, same])) for score in (1, 0))
    known = estimates({1: (right, mean), -1: (wrong, mean)}, RESAMPLES, seed=1)
    gap = difference(known[sign], known[-sign])
    ends = interval(gap)
    assert p_value(gap) == pytest.approx(p)
    assert (ends["low"] <= 0 <= ends["high"]) == (p > 0.05)
    assert ends["low"] <= ends["value"] <= ends["high"]


def test_the_rows_of_all_tasks_count() -> None:
    known = estimates({n: (as_mean(np.full(3, n)), mean) for n in (0.0, 1.0)}, 1000, seed=1)
    gap = difference(*(macro_average([known[n], known[n]]) for n in (1.0, 0.0)))
    assert (p_value(gap), interval(gap)["low"]) == (0.03125, 1.0)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_number_needed_shows_the_effect_four_times_in_five(share: float) -> None:
    random = np.random.default_rng(3)

    def gap(num_examples: int) -> Estimate:
        drawn = random.random(num_examples)
        change = np.where(drawn < share / 2 + 0.05, 1.0, np.where(drawn > 1 - share / 2, -1.0, 0.0))
        rows = np.column_stack([change, np.ones(num_examples)])
        return estimates({"gap": (rows, mean)}, 400, 7)["gap"]

    needed = needed_examples(gap(4000), 0.05)
    seen = np.mean([interval(gap(needed))["low"] > 0 for _ in range(150)])
    assert 0.68 < seen < 0.9
    assert detectable(gap(needed)) == pytest.approx(0.05, rel=0.25)


def test_few_rows_that_do_not_differ_show_little() -> None:
    same = estimates({"gap": (np.column_stack([np.zeros(10), np.ones(10)]), mean)}, 100, 7)["gap"]
    assert detectable(same) == pytest.approx(0.3)
    assert needed_examples(same, 0.05) == 60
    alone = estimates({"gap": (np.array([[0.0, 1.0]]), mean)}, 100, 7)["gap"]
    assert detectable(alone) == 1.0  # not 3 on a scale of 0 to 1


def test_groups_are_resampled_whole() -> None:
    """Each example four times over: no more is known than of each once."""
    values = np.random.default_rng(4).random(40)
    four, groups = np.repeat(values, 4), [f"group {n // 4}" for n in range(160)]
    once = estimates({"m": (as_mean(values), mean)}, RESAMPLES, seed=1)["m"]
    grouped = estimates({"m": (as_mean(four), mean)}, RESAMPLES, 1, groups)["m"]
    assert interval(grouped) == {**interval(once), "n": 160}
    assert detectable(grouped) == detectable(once)
    apart = estimates({"m": (as_mean(four), mean)}, RESAMPLES, 1)["m"]
    assert detectable(apart) == pytest.approx(detectable(once) / 2, rel=0.1)


def test_groups_of_several_sizes_weigh_by_their_examples() -> None:
    values, groups = np.array([1.0, 1.0, 1.0, 0.0]), ["a", "a", "a", None]
    found = estimates({"m": (as_mean(values), mean)}, RESAMPLES, 1, groups)["m"]
    assert found.value == 0.75
    assert set(np.round(found.resamples, 6)) == {0.0, 0.75, 1.0}
