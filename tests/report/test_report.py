"""The report says what was measured, escapes what it shows, and needs nothing else."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tasks.report.examples import choose_examples
from tasks.report.facts import Facts
from tasks.report.html import SECTIONS, render
from tasks.report.pages import TEMPLATES
from tests.reporting import NUM_PREDICTIONS, prediction, toy_facts

EVIL = (
    "<script>alert('x')</script> & \"quoted\" {{ 7 * 7 }} </td></table><img src=x onerror=alert(1)>"
    " \"><svg onload=alert(1)> ' onmouseover='alert(1) <!-- </style></title></details>"
    " <iframe srcdoc='<script>'> <a href=javascript:alert(1)>a</a> {% raw %} &lt;script&gt; &#x3c;"
)
"""What would run, or break the page, if it were not escaped."""


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    return toy_facts(tmp_path, EVIL)


class Elements(HTMLParser):
    """Collects the elements, and checks that each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.links: list[str] = []
        self.names: list[str] = []
        self.policy = ""
        self.without_scope = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: str(value) for name, value in attrs}
        self.seen.append(tag)
        self.names += given
        self.links += [value for name, value in given.items() if name in ("src", "href")]
        self.without_scope += tag == "th" and "scope" not in given
        if "http-equiv" in given:
            self.policy = given["content"]
        if tag not in ("meta", "input", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.text += data


def parsed(html: str) -> Elements:
    elements = Elements()
    elements.feed(html)
    assert elements.open == []
    return elements


def section(html: str, name: str) -> str:
    """The text of a section, in one line."""
    start = html.index(f'<section id="{name}"')
    part = html[start : html.index("</section>", start) + len("</section>")]
    spaced = re.sub(r"</(th|td|dt|dd|title)>", r" </\1>", part)
    return " ".join(parsed(spaced).text.split())


def test_report_is_complete_and_escaped(facts: Facts) -> None:
    html = render(facts)
    elements = parsed(html)
    assert {"img", "iframe", "object", "form", "link"}.isdisjoint(elements.seen)
    assert elements.seen.count("script") == elements.seen.count("style") == 1
    assert not [name for name in elements.names if name.startswith("on") or name == "style"]
    assert set(elements.links) == {f"#{name}" for name in SECTIONS}  # nothing to fetch
    assert elements.without_scope == 0
    assert "http:" not in html and "https:" not in html
    assert "{{ 7 * 7 }}" in elements.text  # shown as it is, not evaluated
    assert elements.text.count(EVIL) > 100
    test, gains, tasks, curves, probes, frontier, phrasings = 5 + 2 * (5 + 4), 3, 2, 2, 3, 1, 2
    plots = test + gains + tasks + curves + probes + frontier + phrasings
    assert elements.seen.count("svg") == plots
    titles = re.findall(r'<h2 id="(\w+)-title">', html)
    assert titles == list(SECTIONS) and titles[0] == "verdict"


def test_the_policy_names_the_script_and_the_style(facts: Facts) -> None:
    directives = dict(part.split(" ", 1) for part in parsed(render(facts)).policy.split("; "))
    assert directives["default-src"] == "'none'"
    for name in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[\w+/]{43}='", directives[name])
    assert {"base-uri", "form-action"} <= set(directives)
    assert "</" not in (TEMPLATES / "search.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("verdict", "Not promoted. entities fell"),
        ("verdict", "mean of the tasks: gain over base model +0.300 +0.280 to +0.320"),
        ("verdict", f"the probe that fell most: entities{EVIL} -0.210"),
        ("metrics", "few-shot, 5 examples"),
        ("metrics", "champion, version 2"),
        ("metrics", "0.320 (0.310 to 0.330)"),
        ("metrics", "human ceiling (5 records)"),
        ("metrics", "fabrication, chat lower is better"),
        ("metrics", "few-shot, 5 examples was best"),
        ("metrics", "better, p < 0.001"),
        ("metrics", "undecided, p < 0.001; about 410 records would show 0.02"),
        ("metrics", "-0.070 (-0.090 to -0.050) worse, p 0.020"),
        ("metrics", f"none of these bad 1 0 0 good{EVIL} 1 0 0"),
        ("training", "training: 3 at step 3, 2 at step 1000"),
        ("training", "trainable parameters 1,234"),
        ("training", "packed no"),
        ("training", "chat 1,234 567 25.0% 0.459"),
        ("forgetting", "-0.210 (-0.250 to -0.170) forgotten"),
        ("forgetting", "uncertain; about 310 rows would tell"),
        ("forgetting", "-0.110 (-0.150 to -0.070) worse"),
        ("forgetting", "Right before and wrong after: 9 (22.5%)."),
        ("forgetting", f"before before {EVIL} after after {EVIL}"),
        ("forgetting", "inverse_perplexity knows no right and wrong answers."),
        ("candidates", "2. replay (kept) +0.200 (+0.180 to +0.220)"),
        ("phrasings", "differs by 0.040"),
        ("phrasings", "recap held out"),
        ("data", "chat 16 12 2 1 1 1"),
        ("data", "not chosen"),
        ("data", f"rejected for {EVIL} (2)"),
        ("data", f"chat: read {EVIL}. chat: torn {EVIL}."),
        ("data", "chat 10 1 1 0 3"),
        ("data", "chat, prompt 6 11 11"),
        ("data", "chat: 1 of 1 test records stand, nearly the same, in the training split"),
        ("examples", "worst rougeL 0.000"),
        ("cost", "base model 290 1.00 2.5 of 3 1 2"),
        ("cost", "It changed 1,234 of 123,456 parameters."),
        ("lineage", f"a {EVIL} b: c d"),
        ("lineage", "train, version 1 d1735"),
    ],
)  # fmt: skip
def test_sections_say(facts: Facts, name: str, said: str) -> None:
    assert said in section(render(facts), name)


UNPROBED = {"max_drop": 0.05, "probes": {}}


def without(**changes: Any) -> Callable[[Facts], Facts]:
    return lambda facts: replace(facts, **changes)


def of_one_task(facts: Facts) -> Facts:
    tasks = {"chat": {**facts.metrics["tasks"]["chat"], "human": {}}}
    told = {"tasks": tasks, "primary": "rougeL", "best_in_context": None, "phrasings": {}}
    training = {**facts.training, "mixture": {"chat": facts.training["mixture"]["chat"]}}
    metrics = {**facts.metrics, **told, "differences": {"tuned-base": one_task_gain(facts)}}
    return replace(facts, metrics=metrics, training=training)


def one_task_gain(facts: Facts) -> dict[str, Any]:
    found = facts.metrics["differences"]["tuned-base"]
    return {**found, "tasks": {"chat": found["tasks"]["chat"]}}


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        (without(forgetting=UNPROBED), "forgetting", "not known what the model forgot"),
        (without(candidates=()), "candidates", "there was nothing to choose from"),
        (without(champion=None), "metrics", "There was no other champion"),
        (without(accuracies=[]), "training", "accuracy on validation was not measured"),
        (of_one_task, "phrasings", "It is not known how much hangs on the wording"),
        (of_one_task, "metrics", "not known what people would score"),
        (of_one_task, "metrics", "No prompt with worked examples was measured"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(
    facts: Facts, change: Callable[[Facts], Facts], name: str, said: str
) -> None:
    assert said not in section(render(facts), name)
    assert said in section(render(change(facts)), name)


def test_a_single_task_has_no_table_of_tasks(facts: Facts) -> None:
    assert {"Task by task", "draws an epoch"} <= set(
        re.findall("Task by task|draws an epoch", render(facts))
    )
    html = render(of_one_task(facts))
    assert "Task by task" not in html and "draws an epoch" not in html
    assert "rougeL: gain over base model" in section(html, "verdict")


def test_a_champion_that_cannot_be_compared(facts: Facts) -> None:
    assert facts.champion
    why = {"difference": None, "own": None, "why_not_comparable": "it can't read."}
    said = section(render(replace(facts, champion=replace(facts.champion, **why))), "metrics")
    assert "It can't be compared with the champion, version 2" in said
    assert said.count("it can't read.") == 1 and "0.320 (0.310 to 0.330)" not in said


def test_a_promotion_is_said(tmp_path: Path) -> None:
    decision = {"promote": True, "reasons": ["good"]}
    elements = parsed(render(toy_facts(tmp_path, decision=decision)))
    assert "Promoted: this version is champion." in elements.text


def test_examples_are_the_best_the_median_and_the_worst() -> None:
    rows = [prediction(number, number / 100) for number in range(100)]
    examples = choose_examples(rows, {"chat": "rougeL"}, 6)
    assert [(example.rank, example.score) for example in examples] == [
        ("best", 0.99), ("best", 0.98), ("median", 0.50), ("median", 0.49),
        ("worst", 0.01), ("worst", 0.0),
    ]  # fmt: skip
    assert len(choose_examples(rows[:1], {"chat": "rougeL"})) == 1
    assert len(choose_examples(rows[:2], {"chat": "rougeL"})) == 2
    assert choose_examples([], {}) == []
    assert NUM_PREDICTIONS > 30


def test_made_up_facts_of_every_way_are_marked(tmp_path: Path) -> None:
    html = render(toy_facts(tmp_path))
    assert html.count("<mark>Zoe</mark>") == 30
    unmeasured = prediction(1, 0.5)
    del unmeasured["scores"]["tuned"]["fabrication"]
    (example,) = choose_examples([unmeasured], {"chat": "rougeL"})
    assert [piece.made_up for answer in example.answers for piece in answer.pieces][-1] is False
