"""The report says what was measured, escapes what it shows, and needs nothing else."""

import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from tasks.report import table
from tasks.report.card import CardFacts, card
from tasks.report.charts import interval_bar, line_chart
from tasks.report.facts import Curve, Facts, choose_examples, read_facts, thinned
from tasks.report.html import render

EVIL = (
    "<script>alert('x')</script> & \"quoted\" {{ 7 * 7 }} </td></table><img src=x onerror=alert(1)>"
    " \"><svg onload=alert(1)> ' onmouseover='alert(1) <!-- </style></title></details>"
    " <iframe srcdoc='<script>'> <a href=javascript:alert(1)>a</a> {% raw %} &lt;script&gt; &#x3c;"
)
"""What would run, or break the page, if it were not escaped."""


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 12}


def prediction(number: int, score: float) -> dict[str, Any]:
    return {
        "id": f"{number:016x}",
        "task": "chat",
        "template": "gist",
        "prompt": f"Gist {number}: {EVIL}",
        "references": [f"Reference {number} {EVIL}"],
        "completions": {"base": f"base {EVIL}", "tuned": f"tuned {number} {EVIL}"},
        "scores": {"base": {"rougeL": 0.0}, "tuned": {"rougeL": score}},
    }


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "recipe": "chat",
        "model": "summarizer",
        "version": "3",
        "run_id": "5d41",
        "validation": {"rougeL": figure(0.35)},
        "test": {
            "base": {"rougeL": figure(0.05)},
            "few_shot": {"rougeL": figure(0.06)},
            "tuned": {"rougeL": figure(0.34), "exact|match": figure(0.1)},
        },
        "forgetting": {
            "entities": {"before": 0.81, "after": 0.6, "delta": -0.21, "low": -0.25, "high": -0.17}
        },
        "decision": {"promote": False, "reasons": [f"entities fell {EVIL} [bold]"]},
        "report": "/home/report.html",
    }


@pytest.fixture
def folders(tmp_path: Path, result: dict[str, Any]) -> dict[str, Path]:
    folders = {name: tmp_path / name for name in ("ingest", "train", "test", "forgetting")}
    for folder in folders.values():
        folder.mkdir()
    ways = result["test"]
    tasks = {name: {"primary": "rougeL", "ways": ways} for name in ("chat", f"mail {EVIL}")}
    gains = {name: {"value": 0.29, "low": 0.26, "high": 0.31, "n": 12} for name in tasks}
    gains[f"mail {EVIL}"] = {"value": -0.07, "low": -0.09, "high": -0.05, "n": 12}
    mixture = {"rows": 1234, "draws": 567, "share": 0.25, "passes": 0.459}
    documents: dict[str, Any] = {
        "test/metrics.json": {
            "ways": ways,
            "tasks": tasks,
            "primary": "rougeL",
            "differences": {"tuned-base": {"tasks": gains}},
        },
        "forgetting/probes.json": {"max_drop": 0.05, "probes": result["forgetting"]},
        "train/summary.json": {
            "parameters": 123456,
            "method": EVIL,
            "mixture": {"chat": mixture, EVIL: mixture},
        },
        "ingest/summary.json": {
            "chat": {"rows": 12, "rejected": 2, "duplicates": 1, "reasons": {EVIL: 2}}
        },
    }
    for name, content in documents.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    rows = "".join(json.dumps(prediction(n, n / 30)) + "\n" for n in range(30))
    (folders["test"] / "predictions.jsonl").write_text(rows, encoding="utf-8")
    steps = "".join(json.dumps({"step": n, "loss": 3 - n / 1000}) + "\n" for n in range(1, 1001))
    (folders["train"] / "steps.jsonl").write_text(steps, encoding="utf-8")
    epochs = "epoch,step,train_loss,validation_loss\n1,500,2.5,2.4\n2,1000,2.0,2.2\n"
    (folders["train"] / "epochs.csv").write_text(epochs, encoding="utf-8")
    return folders


@pytest.fixture
def facts(folders: dict[str, Path], result: dict[str, Any]) -> Facts:
    splits = {"train": 10, "validation": 1, "test": 1}
    return read_facts(result, f"base {EVIL}", {"retune.a": EVIL}, folders, splits)


class Elements(HTMLParser):
    """Collects the elements, and checks that each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.links: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Elements:
    elements = Elements()
    elements.feed(html)
    assert elements.open == []
    return elements


def test_report_is_complete_and_escaped(facts: Facts) -> None:
    html = render(facts)
    elements = parsed(html)
    assert {"script", "img", "iframe", "a"}.isdisjoint(elements.seen)
    assert elements.handlers == []
    assert elements.links == []  # nothing to fetch
    assert "http" not in html
    assert "{{ 7 * 7 }}" in elements.text  # shown as it is, not evaluated
    assert elements.text.count(EVIL) > 30
    for said in ("Not promoted.", "entities fell", "0.340", "0.330 to 0.350", "few-shot", "-0.210",
                 "123456", "train: 10", "tuned 29", "tuned 0 "):  # fmt: skip
        assert said in elements.text, said
    assert elements.seen.count("svg") == 1 + 4 + 2 + 1  # losses, test, tasks, probes
    assert elements.seen.count("details") == 15
    assert html.index("Not promoted.") < html.index("<h2>Test</h2>")


def test_report_without_probes(facts: Facts, result: dict[str, Any]) -> None:
    result["forgetting"] = {}
    result["decision"] = {"promote": True, "reasons": ["good"]}
    elements = parsed(render(facts))
    assert "it is not known what the model forgot" in elements.text
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


def test_curves(facts: Facts) -> None:
    training, validation = facts.curves
    assert validation.points == [(500.0, 2.4), (1000.0, 2.2)]
    assert len(training.points) <= 400
    assert training.points[0] == (3, pytest.approx(2.998))  # mean of three steps
    assert training.points[-1][0] == 1000
    assert thinned([]) == []


def test_line_chart_places_points() -> None:
    svg = str(line_chart([Curve("a", [(0, 0), (10, 2), (5, math.nan)])], EVIL))
    assert 'points="48.0,232.0 628.0,12.0"' in svg
    assert "<script>" not in svg
    assert line_chart([Curve("a", [(1, math.nan)])], "t") == ""
    assert line_chart([], "t") == ""
    parsed(str(line_chart([Curve("a", [(1, 2.0)])], "t")))


def test_interval_bar_places_its_parts() -> None:
    svg = str(interval_bar(0.5, 0.25, 0.75, 0.0, 1.0))
    assert '<rect class="range" x="50.0" y="5" width="100.0"' in svg
    assert '<circle class="mark" cx="100.0"' in svg
    assert 'x1="0.0"' in svg
    assert 'x1="100.0"' in str(interval_bar(0.5, 0.25, 0.75, -1.0, 1.0))
    assert interval_bar(math.nan, 0.0, 1.0, 0.0, 1.0) == ""


def test_table(result: dict[str, Any]) -> None:
    console = Console(file=io.StringIO(), width=140)
    console.print(table.render(result))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"rougeL\W+0.050 \(0.040-0.060\)\W+0.060 .*\W+0.340 \(0.330-0.350\)", shown)
    assert re.search(r"entities\W+0.810\W+0.600\W+-0.210\W+-0.250 to -0.170", shown)
    assert "summarizer version 3 (@challenger): not promoted" in shown
    assert "[bold]" in shown  # a reason is text, not markup
    assert "report: /home/report.html" in shown


def test_markdown(result: dict[str, Any]) -> None:
    lines = table.markdown(result).splitlines()
    assert lines[0] == "# summarizer version 3 (@challenger): not promoted"
    assert "| metric | base model | few-shot | tuned |" in lines
    row = "| rougeL | 0.050 (0.040-0.060) | 0.060 (0.050-0.070) | 0.340 (0.330-0.350) |"
    assert row in lines
    assert "| exact\\|match |  |  | 0.100 (0.090-0.110) |" in lines


def test_card(facts: Facts, result: dict[str, Any]) -> None:
    template = {"name": "gist", "heldout": False, "prompt": "Gist: {{ dialogue }}"}
    text = card(
        CardFacts(
            model="summarizer",
            recipe="chat",
            base_model="google/flan-t5-small",
            on_hub=True,
            is_encoder_decoder=True,
            method="full",
            prompts={"chat": {"task": "question_answering", "templates": [template]}},
            data=facts.data,
            splits=facts.splits,
            test=result["test"],
            forgetting=result["forgetting"],
            reasons=["entities fell"],
            lineage={"retune.git_commit": "77e1"},
        )
    )
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "pipeline_tag": "text2text-generation",
        "base_model": "google/flan-t5-small",
        "tags": ["retune", "instruct"],
    }
    for said in ("# summarizer\n", "Gist: {{ dialogue }}", "| chat | 12 | 2 | 1 |", "train 10",
                 "0.340 (0.330-0.350)", "| entities | 0.810 | 0.600 | -0.250 to -0.170 |",
                 "- entities fell", "`77e1`"):  # fmt: skip
        assert said in body, said


def test_several_tasks_are_told_apart(facts: Facts) -> None:
    cells = parsed(render(facts).replace("</td>", "|</td>")).text
    assert "chat|rougeL|0.050|0.340|\n+0.290|+0.260 to +0.310|" in cells
    assert f"mail {EVIL} (worse)|rougeL|0.050|0.340|\n-0.070|-0.090 to -0.050|" in cells
    assert "chat|1234|567|25.0%|0.459|" in cells


def test_a_single_task_has_no_table_of_tasks(facts: Facts) -> None:
    metrics = {**facts.metrics, "tasks": {"chat": facts.metrics["tasks"]["chat"]}}
    training = {**facts.training, "mixture": {"chat": facts.training["mixture"]["chat"]}}
    html = render(replace(facts, metrics=metrics, training=training))
    assert "<h2>Tasks</h2>" not in html and "Draws an epoch" not in html
