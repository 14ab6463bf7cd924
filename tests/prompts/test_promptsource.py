"""Published promptsource files: read safely, split, and rendered like any other."""

import os
from pathlib import Path

import pytest

from tasks.errors import BadPrompt
from tasks.prompts.library import REPOSITORY, PromptFile
from tasks.prompts.promptsource import load_promptsource
from tasks.prompts.render import Rendered, RenderError, render, render_prompt

PUBLISHED = r"""
dataset: weather_notes
templates:
  11111111-aaaa: !Template
    answer_choices: dull ||| bright
    id: 11111111-aaaa
    jinja: "{{note}}\nHow was the day, {{answer_choices | join(\" or \")}}? |||\n{{\
      \ answer_choices[label] }}"
    metadata: !TemplateMetadata
      choices_in_prompt: true
      languages: [en]
      metrics: [Accuracy]
      original_task: true
    name: how was the day
    reference: ''
  22222222-bbbb: !Template
    answer_choices: '{{ words | join("|||") }}'
    jinja: "Pick for {{note}}: {{answer_choices | join(', ')}} ||| {{answer_choices[label]}}"
    name: picked words
  33333333-cccc: !Template
    answer_choices: 'no ||| yes'
    jinja: "{% set asked = ['Sunny?', 'Was there sun?'] | choice %}{{ note }} {{ asked }}
      ||| {{ answer_choices[label] }} ({{ asked }})"
    name: drawn question
  44444444-dddd: !Template
    answer_choices: null
    jinja: "{{ note }} and nothing else"
    name: no completion
  55555555-eeee: !Template
    answer_choices: null
    jinja: "A day with label {{ label }}: ||| {{ note }}"
    name: other target
  77777777-abcd: !Template
    answer_choices: null
    jinja: "Note: {{ note }} Label {{ label }}. ||| {{ label }}"
    name: answer in the prompt
  66666666-ffff: !Template
    answer_choices: null
    jinja: "{% if label %}{{ note }} ||| {{ label }}{% endif %}"
    name: in a block
"""
NOTE: dict[str, object] = {"note": "Sun ||| all day.", "label": 1, "words": ["grey", "gold"]}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "weather.yaml"
    path.write_text(PUBLISHED, "utf-8")
    return path


def rendered(prompts: PromptFile, record: dict[str, object]) -> dict[str, Rendered]:
    return {t.name: render(prompts, record, t) for t in prompts.templates}


def test_reads_the_templates_of_the_commonest_target(published: Path) -> None:
    prompts = load_promptsource(str(published))
    assert (prompts.name, prompts.target, prompts.task) == ("weather", "label", "classification")
    assert prompts.slots == ("note", "words")
    assert prompts.choices == ()  # the words differ from record to record
    assert prompts.skipped == (
        "no completion: has no '|||' between prompt and completion",
        "in a block: has its '|||' inside a block",
        "other target: does not answer with 'label'",
        "answer in the prompt: its prompt uses 'label' too",
    )
    pairs = rendered(prompts, NOTE)
    day = pairs["how was the day"]
    assert day.prompt == "Sun ||| all day.\nHow was the day, dull or bright?"
    assert day.completion == "bright"
    words = pairs["picked words"]
    assert (words.prompt, words.completion) == ("Pick for Sun ||| all day.: grey, gold", "gold")


def test_the_drawn_choice_is_the_records_own(published: Path) -> None:
    prompts = load_promptsource(str(published))
    questions = set()
    for day in range(20):
        note = {**NOTE, "note": f"Day {day}."}
        pair = rendered(prompts, note)["drawn question"]
        assert pair == rendered(prompts, note)["drawn question"]
        question = pair.prompt.removeprefix(f"Day {day}. ")
        assert pair.completion == f"yes ({question})"
        questions.add(question)
    assert questions == {"Sunny?", "Was there sun?"}


def test_a_prompt_needs_no_target(published: Path) -> None:
    prompts = load_promptsource(str(published))
    note = {key: value for key, value in NOTE.items() if key != "label"}
    for template in prompts.templates:
        assert render_prompt(prompts, note, template) == render(prompts, NOTE, template).prompt


def test_another_target(published: Path) -> None:
    prompts = load_promptsource(str(published), target="note")
    assert [t.name for t in prompts.templates] == ["other target"]
    assert (prompts.task, prompts.slots) == ("generation", ("label",))
    pair = rendered(prompts, NOTE)["other target"]
    assert (pair.prompt, pair.completion) == ("A day with label 1:", "Sun ||| all day.")
    with pytest.raises(BadPrompt, match="(?s)answers with 'place'.*one of: label, note"):
        load_promptsource(str(published), target="place")


def test_fixed_choices_are_collected(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(PUBLISHED.split("  22222222")[0], "utf-8")
    prompts = load_promptsource(str(path))
    assert prompts.choices == ("dull", "bright")
    with pytest.raises(RenderError, match="no element 2"):
        rendered(prompts, {**NOTE, "label": 2})


def test_a_record_of_text_gives_numbers_where_they_are_counted_with(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(PUBLISHED.split("  22222222")[0], "utf-8")
    prompts = load_promptsource(str(path))
    expected = rendered(prompts, {**NOTE, "note": 12})
    assert rendered(prompts, {**NOTE, "note": "12", "label": "1"}) == expected
    with pytest.raises(RenderError, match="no element 2"):
        rendered(prompts, {**NOTE, "label": "2"})


@pytest.mark.parametrize("label", [-1, "-1"])
def test_an_unlabelled_record_has_no_answer(label: object, published: Path) -> None:
    """Hugging Face's test splits have the label -1, which is Python's last element."""
    prompts = load_promptsource(str(published))
    for template in prompts.templates:
        with pytest.raises(RenderError, match="no answer choice has the number -1"):
            render(prompts, {**NOTE, "label": label}, template)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("!TemplateMetadata", "!!python/object/apply:os.getcwd", ["weather.yaml:9", "os.getcwd"]),
        ("!Template\n", "!Model\n", ["weather.yaml:4", "!Model"]),
        ("{{note}}", "{{note}", ["weather.yaml:7", "Jinja that parses"]),
        ("    name: how was the day", "", ["the key 'name'"]),
        ("name: how was the day", "name: picked words", ["unique names", "'picked words' 2 times"]),
        (PUBLISHED[PUBLISHED.index("\ntemplates") :], "", ["a mapping of templates", "nothing"]),
    ],
)
def test_bad_published_file(published: Path, old: str, new: str, parts: list[str]) -> None:
    published.write_text(PUBLISHED.replace(old, new, 1), "utf-8")
    with pytest.raises(BadPrompt) as caught:
        load_promptsource(str(published))
    for part in parts:
        assert part in str(caught.value)


SHARED = Path(os.environ.get("RETUNE_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
FILES = sorted((SHARED / "promptsource" / "selected").glob("*.yaml"))
TURNS = ["M: Is it far?", "W: Two stops.", "M: Thanks."]
TEXTS = """text sentence content title review review_body review_title review_headline article
    highlights document summary question answer product_title product_category package_name"""
RECORD: dict[str, object] = {
    **dict.fromkeys(TEXTS.split(), "Words."),
    **{"label": 1, "star": 4, "stars": 4, "star_rating": 4},
    **{"choice": ["near", "far", "Words."], "dialogue": TURNS},
}
DREAM_LEFT = [
    "generate-first-utterance: does not answer with 'answer'",
    "generate-last-utterance: does not answer with 'answer'",
]


@pytest.mark.skipif(not FILES, reason="the published files are not on this machine")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_published_file_renders(path: Path) -> None:
    first = load_promptsource(str(path))
    assert len(first.templates) >= 2
    names = {template.name for template in first.templates}
    for target in (*RECORD, first.target):
        try:
            prompts = load_promptsource(str(path), target)
        except BadPrompt:
            continue
        pairs = rendered(prompts, RECORD)
        assert all(pair.prompt and pair.completion for pair in pairs.values())
        assert not any("{{" in pair.prompt or "␟" in pair.completion for pair in pairs.values())
        names |= set(pairs)
    # Every template answers with one field or another, but for two that cut one field in halves.
    left = sorted(line for line in first.skipped if line.split(": ")[0] not in names)
    assert left == DREAM_LEFT if path.stem == "dream" else not left
