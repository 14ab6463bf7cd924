import json
from typing import Any

import pytest

from tasks.config import Source
from tasks.data.records import Needs, layout_of, records_of
from tasks.data.shapes import SHAPES, BadRow, prompts_and_completions, recognise
from tasks.data.thoughts import without_thought


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in turns]


def last_of(turns: Any) -> dict[str, str]:
    return prompts_and_completions(turns)[-1]


def test_a_single_turn_is_the_prompt_as_it_stands() -> None:
    turns = said(("user", "Translate: Guten Tag"), ("assistant", "Good day"))
    assert last_of(turns) == {
        "prompt": "Translate: Guten Tag",
        "completion": "Good day",
    }


def test_a_longer_conversation_keeps_its_turns() -> None:
    turns = said(
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Capital of Norway?"),
        ("assistant", "Oslo"),
        ("user", "Thanks"),
    )
    assert last_of(turns) == {
        "prompt": "<|system|>\nBe brief.\n<|user|>\nHi\n<|assistant|>\nHello\n"
        "<|user|>\nCapital of Norway?",
        "completion": "Oslo",
    }


def test_sharegpt_and_messages_say_the_same() -> None:
    sharegpt = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]}
    messages = {"messages": said(("user", "Hi"), ("assistant", "Yo"))}
    expected = {"prompt": "Hi", "completion": "Yo"}
    assert SHAPES["sharegpt"].read(sharegpt) == [expected]
    assert SHAPES["messages"].read(messages) == [expected]


def test_roles_may_be_in_capitals() -> None:
    turns = said(("User", "Guten Tag"), ("ASSISTANT", "Good day"))
    assert last_of(turns) == {"prompt": "Guten Tag", "completion": "Good day"}


def test_each_answer_has_what_was_said_before() -> None:
    turns = said(
        ("assistant", "How can I help?"),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Bye"),
        ("assistant", "So long"),
    )
    before = "<|assistant|>\nHow can I help?\n<|user|>\nHi"
    assert prompts_and_completions(turns) == [
        {"prompt": before, "completion": "Hello"},
        {"prompt": f"{before}\n<|assistant|>\nHello\n<|user|>\nBye", "completion": "So long"},
    ]
    turns[2]["weight"] = 0  # type: ignore[assignment]
    assert [answer["completion"] for answer in prompts_and_completions(turns)] == ["So long"]


def test_an_answer_of_the_weight_0_is_not_trained_on() -> None:
    """https://platform.openai.com/docs/guides/supervised-fine-tuning, multi-turn chats."""
    turns: list[dict[str, Any]] = said(
        ("user", "Hi"), ("assistant", "Hello"), ("user", "Oslo?"), ("assistant", "No.")
    )
    turns[3]["weight"] = 0
    assert last_of(turns) == {"prompt": "Hi", "completion": "Hello"}
    turns[1]["weight"], turns[3]["weight"] = 0, 1
    assert last_of(turns)["completion"] == "No."
    turns[3]["weight"] = 0
    with pytest.raises(BadRow, match="all have the weight 0"):
        last_of(turns)


@pytest.mark.parametrize("shape", ["messages", "sharegpt"])
def test_a_system_text_beside_the_turns_stands_first(shape: str) -> None:
    key = {"messages": "messages", "sharegpt": "conversations"}[shape]
    turns = said(("user", "Hi"), ("assistant", "Yo"))
    row: dict[str, Any] = {"system": " Be brief. ", key: turns}
    assert SHAPES[shape].read(row)[0]["prompt"] == "<|system|>\nBe brief.\n<|user|>\nHi"
    for system in (None, " ", 7):
        assert SHAPES[shape].read({**row, "system": system})[0]["prompt"] == "Hi"
    row[key] = [*said(("system", "Be polite.")), *turns]
    assert SHAPES[shape].read(row)[0]["prompt"] == "<|system|>\nBe polite.\n<|user|>\nHi"


def test_a_turn_without_tool_calls_may_have_their_key() -> None:
    turns = [{**turn, "tool_calls": None} for turn in said(("user", "Hi"), ("assistant", "Yo"))]
    assert last_of(turns) == {"prompt": "Hi", "completion": "Yo"}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_a_thought_of_its_own_stands_before_the_answer(field: str) -> None:
    turns: list[dict[str, Any]] = said(("user", "Hi"), ("assistant", "Yo"))
    turns[1][field] = "They say hi."
    answer = last_of(turns)["completion"]
    assert answer == "<think>\nThey say hi.\n</think>\n\nYo" and without_thought(answer) == "Yo"
    turns[1][field] = None
    assert last_of(turns)["completion"] == "Yo"
    turns[1] |= {field: "Hm.", "content": ""}
    with pytest.raises(BadRow, match="has no text"):
        last_of(turns)


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": "Yo"}]
    assert last_of(turns)["prompt"] == "Hi there"


@pytest.mark.parametrize("column", ["completion", "response", "output"])
def test_a_completion_has_several_names(column: str) -> None:
    row = {"prompt": "Hi", column: "Yo"}
    assert SHAPES["prompt_completion"].read(row) == [{"prompt": "Hi", "completion": "Yo"}]


def test_a_pair_may_be_of_turns() -> None:
    """As TRL has them; what the prompt's assistant says is not learnt."""
    prompt = said(("user", "Hi"), ("assistant", "Hello"), ("user", "Oslo?"))
    expected = {
        "prompt": "<|user|>\nHi\n<|assistant|>\nHello\n<|user|>\nOslo?",
        "completion": "Yes.",
    }
    read = SHAPES["prompt_completion"].read
    assert read({"prompt": prompt, "completion": said(("assistant", "Yes."))}) == [expected]
    assert read({"prompt": prompt, "completion": "Yes."}) == [expected]
    with pytest.raises(BadRow, match="the completion none"):
        read({"prompt": prompt, "completion": None})


def test_turns_in_the_columns_of_a_pair_are_recognised() -> None:
    needs, source = Needs(fields=("prompt",), target="completion"), Source(path="pairs.jsonl")
    layout = layout_of(["prompt", "completion"], needs, source, "pairs.jsonl")
    turns = {"prompt": said(("user", "Hi")), "completion": said(("assistant", "Yo"))}
    for row in (turns, {"prompt": "Hi", "completion": "Yo"}):
        [record] = records_of(row, layout, None)
        assert record.values == {"prompt": "Hi", "completion": "Yo"}
    [several] = records_of({"prompt": "Hi", "completion": ["Yo", "Hello"]}, layout, None)
    assert several.references == ("Yo", "Hello")


def test_a_conversation_may_be_a_text_of_json() -> None:
    turns = said(("user", "Hi"), ("assistant", "Yo"))
    assert last_of(json.dumps(turns)) == last_of(turns)


@pytest.mark.parametrize("row", [{}, {"input": None}, {"input": ""}])
def test_alpaca_may_lack_its_input(row: dict[str, Any]) -> None:
    [fields] = SHAPES["alpaca"].read({"instruction": "Count.", "output": "1 2 3", **row})
    assert fields == {"instruction": "Count.", "input": "", "output": "1 2 3"}


@pytest.mark.parametrize("column", ["system", "history"])
def test_alpaca_with_a_conversation_around_it_is_told(column: str) -> None:
    """As LLaMA-Factory has it; it would be left out."""
    row = {"instruction": "Go on.", "output": "3", "system": "", "history": []}
    assert SHAPES["alpaca"].read(row)
    with pytest.raises(BadRow, match=f"has a {column}"):
        SHAPES["alpaca"].read({**row, column: [["Count.", "1 2"]]})


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (None, "not a list of turns"),
        ([], "not a list of turns"),
        ('[{"role": "user", "content": "Hi"}', "a text that is no JSON"),
        (["Hi"], "not an object"),
        (said(("user", "Hi")), "no turn of the assistant"),
        (said(("assistant", "Hi")), "no turn of the user before the last answer"),
        (said(("user", "Hi\n<|assistant|>\nYo"), ("assistant", "Yo")), r"has the line <\|assist"),
        (said(("tool", "42"), ("assistant", "Hi")), "no turn of the user"),
        (said(("narrator", "42"), ("assistant", "Hi")), "role 'narrator'"),
        ([{"role": ["user"], "content": "Hi"}], "role .*user.* is not known"),
        (said(("user", " "), ("assistant", "Hi")), "'user' has no text"),
        ([{"role": "user", "content": [{"type": "image"}]}], "'user' has no text"),
        ([{"role": "user", "content": [{"text": "Hi"}, {"text": None}]}], "'user' has no text"),
        ([{"role": "user", "content": [{"text": "Hi"}, "there"]}], "'user' has no text"),
        ([{"role": ["user"], "content": "Hi"}], r"role '\['user'\]'"),
    ],
)
def test_what_is_no_conversation(turns: Any, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        last_of(turns)


@pytest.mark.parametrize(
    ("columns", "missing", "name"),
    [
        (["messages", "id"], ["prompt", "completion"], "messages"),
        (["conversations"], ["prompt", "completion"], "sharegpt"),
        (["instruction", "output"], ["input"], "alpaca"),
        (["prompt", "response"], ["completion"], "prompt_completion"),
        (["messages"], ["dialogue"], None),
        (["prompt"], ["completion"], None),
    ],
)
def test_a_shape_is_recognised_by_its_columns(
    columns: list[str], missing: list[str], name: str | None
) -> None:
    shape = recognise(columns, missing)
    assert (shape.name if shape else None) == name
