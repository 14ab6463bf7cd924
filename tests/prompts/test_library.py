"""Every prompt file of the library: its phrasings, and its golden example word for word.

After a change of wording: bump the file's version, then
`RETUNE_UPDATE_GOLDEN=1 pytest tests/prompts/test_library.py` and read the diff.
"""

import json
import os
import re
from pathlib import Path

import pytest

from tasks.prompts.library import REPOSITORY, load_prompts
from tasks.prompts.render import render, render_prompt
from tasks.prompts.sandbox import fields_used
from tasks.scoring.probes import load_suite

NAMES = sorted(path.stem for path in (REPOSITORY / "configs" / "prompts").glob("*.yaml"))
GOLDEN = REPOSITORY / "tests" / "golden" / "prompts"
LIBRARY = {
    "code_translation": ("source source_language target_language", "target", "translation"),
    "dates": ("question", "answer", "question_answering"),
    "dialogue_summary": ("dialogue", "summary", "summarization"),
    "denoising": ("text", "original", "generation"),
    "entailment": ("premise hypothesis", "answer", "classification"),
    "instruction": ("instruction input", "output", "generation"),
    "named_entities": ("sentence", "entities", "entities"),
    "news_headline": ("article", "headline", "summarization"),
    "news_summary": ("article", "summary", "summarization"),
    "note_reminder": ("note", "reminder", "summarization"),
    "note_todo": ("note", "todo", "generation"),
    "paraphrase": ("first second", "same", "classification"),
    "passage_qa": ("passage question", "answer", "question_answering"),
    "plain": ("prompt", "completion", "generation"),
    "review_generation": ("title stars", "review", "generation"),
    "review_rating": ("title review", "stars", "classification"),
    "review_sentiment": ("text", "label", "classification"),
    "review_summarization": ("review", "title", "summarization"),
    "story_continuation": ("beginning", "continuation", "generation"),
    "text_continuation": ("text", "original", "generation"),
    "translation": ("source source_language target_language", "target", "translation"),
}


def test_the_library_covers_the_tasks() -> None:
    found = {name: load_prompts(name) for name in LIBRARY}
    assert {n: (" ".join(p.slots), p.target, p.task) for n, p in found.items()} == LIBRARY


@pytest.mark.parametrize("name", NAMES)
def test_phrasings_are_enough_and_distinct(name: str) -> None:
    prompts = load_prompts(name)
    assert len({template.name for template in prompts.templates}) == len(prompts.templates)
    if name in ("plain", "text_continuation"):
        assert len(prompts.training) == 1
        return
    assert len(prompts.templates) >= 10
    assert len(prompts.heldout) >= 2
    rendered = {render(prompts, prompts.example, t).prompt.casefold() for t in prompts.templates}
    assert len({"".join(prompt.split()) for prompt in rendered}) == len(prompts.templates)


@pytest.mark.parametrize("name", NAMES)
def test_every_phrasing_uses_every_slot_and_never_the_target(name: str) -> None:
    prompts = load_prompts(name)
    optional = {"source_language"}  # a text shows what it is written in
    for template in prompts.templates:
        used = fields_used(template.prompt)
        assert set(prompts.slots) - optional <= used <= {*prompts.slots, "choices"}, template.name
        assert fields_used(template.completion) == {prompts.target}


@pytest.mark.parametrize("name", NAMES)
def test_golden_example_renders_exactly(name: str) -> None:
    prompts = load_prompts(name)
    pairs = {t.name: render(prompts, prompts.example, t) for t in prompts.templates}
    rendered = {
        "version": prompts.version,
        "templates": {
            key: {"prompt": pair.prompt, "completion": pair.completion}
            for key, pair in pairs.items()
        },
    }
    path = GOLDEN / f"{name}.json"
    if os.environ.get("RETUNE_UPDATE_GOLDEN"):
        path.write_text(json.dumps(rendered, indent=2, ensure_ascii=False) + "\n", "utf-8")
    assert rendered == json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_prompts_cost_little_context(name: str) -> None:
    prompts = load_prompts(name)
    blank = {slot: "x" for slot in prompts.slots}
    lengths = [len(render_prompt(prompts, blank, t).split()) for t in prompts.templates]
    assert max(lengths) <= 30


@pytest.mark.parametrize("blank", [{"input": ""}, {"input": None}, {}])
def test_instruction_takes_an_empty_input(blank: dict[str, object]) -> None:
    prompts = load_prompts("instruction")
    record = {"instruction": "Name a colour.", "output": "Blue", **blank}
    rendered = {t.name: render(prompts, record, t).prompt for t in prompts.templates}
    assert rendered["plain"] == "Name a colour."
    assert rendered["labels"] == "Instruction: Name a colour.\nOutput:"
    assert rendered["input_first"] == "Task: Name a colour."
    assert rendered["question_after"] == "Name a colour.\n\nWhat is your reply?"
    assert not any("None" in prompt for prompt in rendered.values())


def test_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    source = (REPOSITORY / "configs/prompts/dates.yaml").read_text("utf-8")
    copy = tmp_path / "dates.yaml"
    copy.write_text(f"# a comment\n{source}", "utf-8")
    original = load_prompts("dates")
    assert load_prompts(str(copy)).digest == original.digest
    assert len(original.digest) == 64
    copy.write_text(source.replace("Solve:", "Work out:"), "utf-8")
    assert load_prompts(str(copy)).digest != original.digest


def test_the_current_folder_comes_before_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "configs" / "prompts"
    folder.mkdir(parents=True)
    source = (REPOSITORY / "configs/prompts/dates.yaml").read_text("utf-8")
    (folder / "dates.yaml").write_text(source.replace("version: 1", "version: 7"), "utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_prompts("dates").version == "7"
    assert load_prompts("plain").version == "1"


def test_the_documented_file_is_one(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "prompts.md").read_text(encoding="utf-8")
    file, suite = re.findall("```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "ticket_topic.yaml"
    path.write_text(file, encoding="utf-8")
    assert len(load_prompts(str(path)).heldout) == 1
    suite_path = tmp_path / "abilities.yaml"
    suite_path.write_text(suite.replace("mine/ticket", f"{tmp_path}/ticket"), encoding="utf-8")
    (probe,) = load_suite(str(suite_path))
    assert (probe.metrics, probe.max_examples) == (("macro_f1",), 200)
