"""Rendering a record, and the draw of its phrasing."""

import time
from collections import Counter
from dataclasses import replace

import pytest

from tasks.prompts.library import PromptFile, PromptTemplate, load_prompts
from tasks.prompts.render import RenderError, choose_template, render, render_prompt
from tasks.prompts.sandbox import render_text


def template(prompt: str, completion: str = "{{ answer }}", name: str = "t") -> PromptTemplate:
    return PromptTemplate(name, False, prompt, completion)


def prompts(*slots: str, choices: tuple[str, ...] = ()) -> PromptFile:
    return PromptFile("f", "1", "generation", slots, "answer", choices, (), {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("  a\r\nb\rc  ", "a\nb\nc"),
        ("<b> & {{ text }} ||| {% if %}", "<b> & {{ text }} ||| {% if %}"),
        ("naïve 東京 🙂", "naïve 東京 🙂"),
        (5, "5"),
        (5.0, "5"),
        (0.5, "0.5"),
        (0, "0"),
    ],
)
def test_values(value: object, text: str) -> None:
    pair = render(prompts("q"), {"q": value, "answer": value}, template("{{ q }}"))
    assert (pair.template, pair.prompt, pair.completion) == ("t", text, text)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"answer": "a"}, "the field 'q' is missing"),
        ({"q": None, "answer": "a"}, "the field 'q' is missing"),
        ({"q": float("nan"), "answer": "a"}, "the field 'q' is missing"),
        ({"q": "a"}, "the field 'answer' is missing"),
        ({"q": " \n", "answer": "a"}, "the prompt is empty"),
        ({"q": "a", "answer": ""}, "the completion is empty"),
    ],
)
def test_reason_for_the_reject_file(record: dict[str, object], reason: str) -> None:
    with pytest.raises(RenderError, match=f"^{reason}$"):
        render(prompts("q"), record, template("{{ q }}"))


def test_completion_must_be_a_choice() -> None:
    file = prompts("q", choices=("no", "yes"))
    ask = template("{{ q }} {{ choices | join('/') }}")
    assert render(file, {"q": "Q", "answer": "yes"}, ask).prompt == "Q no/yes"
    with pytest.raises(RenderError, match="'Yes' is not one of: no, yes"):
        render(file, {"q": "Q", "answer": "Yes"}, ask)


def test_every_right_answer_is_in_the_words_of_the_template() -> None:
    ask = template("{{ q }}", "Answer: {{ answer }}")
    pair = render(prompts("q"), {"q": "Q", "answer": "Paris"}, ask, ["the city of Paris"])
    assert pair.references == ("Answer: Paris", "Answer: the city of Paris")
    assert pair.completion == pair.references[0]
    file = prompts("q", choices=("no", "yes"))
    with pytest.raises(RenderError, match="'si' is not one of: no, yes"):
        render(file, {"q": "Q", "answer": "yes"}, template("{{ q }}"), ["si"])


def test_prompt_alone_needs_no_target() -> None:
    assert render_prompt(prompts("q"), {"q": "Q"}, template("Say {{ q }}.")) == "Say Q."


def test_a_failing_expression_is_a_reason_too() -> None:
    with pytest.raises(RenderError, match="the template fails on this record: .*division"):
        render_text("{{ 1 / n }}", {"n": 0})
    with pytest.raises(RenderError, match="not allowed in a template"):
        render_text("{{ n.__class__ }}", {"n": 0})


def draws(templates: list[PromptTemplate], seed: int = 7) -> dict[str, str]:
    return {str(i): choose_template(str(i), templates, seed).name for i in range(4000)}


TEN = [template("{{ q }}", name=f"t{i}") for i in range(10)]


def test_draw_is_stable_and_even() -> None:
    first = draws(TEN)
    assert draws(TEN[::-1]) == first
    assert choose_template("r-17", TEN, 7).name == "t9"  # pinned: other data must not move it
    assert set(Counter(first.values())) == {t.name for t in TEN}
    assert all(320 < count < 480 for count in Counter(first.values()).values())
    moved = sum(first[key] != name for key, name in draws(TEN, seed=8).items())
    assert 0.85 < moved / 4000 < 0.95


def test_rewording_a_template_moves_no_record() -> None:
    assert draws([replace(t, prompt="{{ q }}?") for t in TEN]) == draws(TEN)


def test_a_template_more_moves_few_records() -> None:
    before, after = draws(TEN), draws([*TEN, template("{{ q }}!", name="new")])
    moved = {key for key in before if before[key] != after[key]}
    assert {after[key] for key in moved} == {"new"}
    assert 0.06 < len(moved) / 4000 < 0.12


def test_rendering_is_fast() -> None:
    file = load_prompts("dialogue_summary")
    start = time.process_time()
    for i in range(5000):
        render(file, file.example, choose_template(str(i), file.training, 1))
    assert time.process_time() - start < 2.0  # 0.2 s where it was written
