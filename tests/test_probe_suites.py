"""Probe suites as they are read, and what is made of the figures of a probe."""

from pathlib import Path

import pytest

from tasks import forgetting
from tasks.errors import BadData, BadInput, BadRecipe
from tasks.scoring.harness import changes
from tasks.scoring.probes import digests_of, examples_of, load_suite
from tests.toy import ECHO, WORDS, write_suite


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return write_suite(tmp_path)


@pytest.mark.parametrize(
    ("value", "low", "high", "n", "expected"),
    [
        (-0.2, -0.3, -0.1, 100, "forgotten"),
        (-0.2, -0.5, 0.1, 20, "uncertain"),  # may be noise
        (-0.04, -0.045, -0.01, 1000, "kept"),  # certain, but within the budget
        (0.01, -0.04, 0.06, 200, "kept"),
        (0.0, -0.2, 0.2, 20, "uncertain"),
        (0.0, 0.0, 0.0, 20, "uncertain"),  # too few rows to say that nothing happened
        (0.0, 0.0, 0.0, 60, "kept"),
    ],
)
def test_verdict(value: float, low: float, high: float, n: int, expected: str) -> None:
    change = {"value": value, "low": low, "high": high, "n": n}
    assert forgetting.verdict(change, 0.05) == expected


def test_budget() -> None:
    def probe(delta: float, high: float) -> dict[str, float]:
        return {"delta": delta, "high": high}

    assert forgetting.judged({"a": probe(-0.04, -0.01)}, 0.05)["within_budget"]
    assert forgetting.judged({"a": probe(-0.2, 0.01)}, 0.05)["within_budget"]
    broken = forgetting.judged({"a": probe(0.1, 0.2), "b": probe(-0.06, -0.01)}, 0.05)
    assert (broken["within_budget"], broken["worst"]) == (False, "b")


def test_what_is_expected_is_the_completion_not_the_field_behind_it(
    suite: Path, tmp_path: Path
) -> None:
    told = suite.read_text().partition("probes:")[0] + (
        "probes:\n  - {name: text, source: {path: data/echo.jsonl, columns: "
        "{text: said, original: said}}, prompts: text_continuation, metrics: [inverse_perplexity]}"
    )
    suite.write_text(told)
    rows = examples_of(load_suite(str(suite))[0], None, tmp_path)
    assert {row["prompt"] for row in rows} == set(WORDS)
    # Not "red sky", of which the model has just read the first half.
    assert {(row["completion"], *row["references"]) for row in rows} == {("sky", "sky")}


def test_trained_rows_are_left_out(suite: Path, tmp_path: Path) -> None:
    loaded = load_suite(str(suite))[0]
    every = examples_of(loaded, None, tmp_path)
    assert len(every) == len(WORDS)
    left = examples_of(
        loaded, None, tmp_path, {every[0]["id"]}, {"Colour: red sky", "Say the colour x again"}
    )
    gone = {every[0]["completion"], "red sky"}
    assert {row["completion"] for row in left} == {f"{word} sky" for word in WORDS} - gone
    with pytest.raises(BadData, match="not trained on"):
        examples_of(loaded, None, tmp_path, {row["id"] for row in every})


def test_every_right_answer_is_in_the_words_of_the_prompts(suite: Path, tmp_path: Path) -> None:
    worded = ECHO.replace('again"}', 'again", completion: "Said: {{ said }}"}')
    (tmp_path / "echo.yaml").write_text(worded)
    (tmp_path / "data" / "echo.jsonl").write_text('{"text": "red", "said": ["red", "rose"]}')
    [example] = examples_of(load_suite(str(suite))[0], None, tmp_path)
    assert example["references"] == ["Said: red", "Said: rose"]


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("probes:", "probse:", BadRecipe, "probes"),
        ("metrics: [chrf]", "metrics: [chrff]", BadRecipe, "did you mean chrf"),
        ("name: echo_again", "name: echo", BadRecipe, "different names"),
        ("name: tiny", "name: other", BadRecipe, "the file's own name"),
        ("max_examples: 3", "max_example: 3", BadRecipe, "max_examples"),
        ("{path: data/echo.jsonl}", "{path: data/eco.jsonl}", BadData, "no such file"),
    ],
)
def test_bad_suites(suite: Path, old: str, new: str, error: type[BadInput], message: str) -> None:
    suite.write_text(suite.read_text().replace(old, new))
    with pytest.raises(error, match=message):
        digests_of(str(suite))


def test_unknown_suite_names_the_known_ones() -> None:
    with pytest.raises(BadRecipe, match="did you mean general"):
        load_suite("generel")
    with pytest.raises(BadRecipe, match="the current folder is"):
        load_suite("mine/zzz.yaml")


def test_rows_that_do_not_fit_are_named(suite: Path, tmp_path: Path) -> None:
    rows = tmp_path / "data" / "echo.jsonl"
    rows.write_text(rows.read_text() + '{"text": "", "said": "x"}')
    with pytest.raises(BadData, match=r"echo.jsonl:7"):
        examples_of(load_suite(str(suite))[0], None, tmp_path)


def test_figures_of_the_harness_with_a_budget_of_nothing() -> None:
    rows = [
        {"task": "a", "scores": {"base": {"acc": 1.0}, "tuned": {"acc": float(row % 2)}}}
        for row in range(20)
    ]
    [(task, metric, change)] = changes(rows, 1000, 7, 0.0)
    assert (task, metric, change["needed_n"]) == ("a", "acc", None)
    told = {"value": change["delta"], **change}
    assert forgetting.verdict(told, 0.0) == "forgotten"


def test_the_harness_is_missed_before_anything_runs(
    suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.write_text(suite.read_text() + "harness: {tasks: [sky]}\n")
    monkeypatch.setattr("tasks.scoring.harness.PACKAGE", "lm_eval_is_not_installed")
    with pytest.raises(BadRecipe, match=r"retune\[harness\]"):
        digests_of(str(suite))
