"""Tools, their calls and what they return: from the formats of data sets to those of models."""

import copy
import json
from typing import Any

import pytest

from tasks.data.shapes import SHAPES, BadRow
from tasks.data.tokenizing import encode_completions, encode_prompts
from tasks.data.tools import (
    Call,
    as_calls,
    as_talk,
    calls_in,
    messages_of,
    offers_tools,
    with_calls,
    without_calls,
)
from tasks.data.turns import Turn, as_lines, as_text, spoken, turns_of

WEATHER = {"name": "weather", "parameters": {"properties": {"city": {"type": "string"}}}}
TOOLS = [{"type": "function", "function": WEATHER}]
OSLO, BERGEN = Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Bergen", "days": [2]})
ASKED = Turn("user", "Is it cold in Oslo?")
TALK = [
    Turn("tools", json.dumps(TOOLS)),
    Turn("system", "Be brief."),
    ASKED,
    Turn("assistant", with_calls("", [OSLO])),
    Turn("tool", '{"celsius": -4}'),
]

HERMES = (
    "{% if tools %}<tools>{{ tools | tojson }}{{ eos_token }}{% endif %}"
    "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}"
    "{% for call in turn.tool_calls %}<tool_call>\n{{ call.function | tojson }}\n</tool_call>"
    "{% endfor %}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
LLAMA = (
    "{% if tools %}<tools>{{ tools | tojson }}{{ eos_token }}{% endif %}"
    "{% for turn in messages %}<{{ turn.role }}>{% if turn.tool_calls %}"
    "{% if turn.tool_calls | length > 1 %}{{ raise_exception('a single call') }}{% endif %}"
    '{"name": "{{ turn.tool_calls[0].function.name }}", '
    '"parameters": {{ turn.tool_calls[0].function.arguments | tojson }}}'
    "{% elif turn.role == 'tool' %}{{ turn.content | tojson }}{% else %}{{ turn.content }}"
    "{% endif %}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
MISTRAL = (
    "{% for turn in messages %}"
    "{% if tools and loop.last %}[TOOLS]{{ tools | tojson }}{% endif %}"
    "[{{ turn.role }}]{{ turn.content }}{% if turn.tool_calls %}[CALLS] [{% for call in "
    "turn.tool_calls %}{% if call.id | length != 9 %}{{ raise_exception('an id of 9') }}{% endif %}"
    '{{ call.function | tojson | replace("}}", "}, ") }}"id": "{{ call.id }}"}'
    "{% if not loop.last %}, {% endif %}{% endfor %}]{% endif %}"
    "{% if turn.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
TAGS = (
    "{% if tools %}<tools>{{ tools | tojson }}{{ eos_token }}{% endif %}"
    "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}"
    "{% for call in turn.tool_calls %}<tool_call><function={{ call.function.name }}>"
    "{% for key, value in call.function.arguments.items() %}<parameter={{ key }}>\n"
    "{{ value if value is string else value | tojson }}\n</parameter>{% endfor %}</function>"
    "</tool_call>{% endfor %}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
UNREADABLE = HERMES.replace("call.function | tojson", "call.function.name")
NO_TOOLS = (
    "{% for turn in messages %}{% if (turn.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('in turn') }}{% endif %}<{{ turn.role }}>{{ turn.content }}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def answers_of(shape: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    return SHAPES[shape].read(row)


@pytest.mark.parametrize("text", ["", "Let me look.", "One.\nTwo."])
@pytest.mark.parametrize("calls", [[OSLO], [OSLO, BERGEN]])
def test_calls_come_out_of_an_answer_as_they_went_in(text: str, calls: list[Call]) -> None:
    assert without_calls(with_calls(text, calls)) == (text, calls)


@pytest.mark.parametrize(
    "answer",
    ["It is cold.", "<tool_call>\nno JSON\n</tool_call>", "Write <tool_call>{}</tool_call>."],
)
def test_other_answers_have_no_calls(answer: str) -> None:
    assert without_calls(answer) == (answer, [])
    assert as_calls(answer) == answer


@pytest.mark.parametrize(
    "written",
    [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
        '{"name": "weather", "parameters": {"city": "Oslo"}}',
        '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}, "id": "call00000"}]',
        '{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}',
        "<tool_call>\n<function=weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n"
        "</tool_call>",
        "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>",
    ],
)
def test_calls_are_read_in_the_formats_of_many_models(written: str) -> None:
    assert calls_in(written) == [OSLO]
    assert as_calls(f"Let me look.\n{written}") == with_calls("Let me look.", [OSLO])
    assert calls_in(f"{written}\n{written}") == [OSLO, OSLO]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "x"}',
        '{"a": {',
        "{" * 2000,
        '{"a": ' * 2000,
        '{"a": ' + "9" * 5000 + "}",
        json.dumps({"name": "f", "arguments": "[" * 2000}),
    ],
)
def test_other_braces_are_no_calls(text: str) -> None:
    assert calls_in(text) == []


def test_messages_of_the_openai_api() -> None:
    function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": ASKED.content},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": function}]},
        {"role": "tool", "tool_call_id": "a", "content": {"celsius": -4}},
        {"role": "assistant", "content": "Yes: -4."},
    ]
    called, said = answers_of("messages", {"messages": messages, "tools": TOOLS})
    assert called == {"prompt": as_text(TALK[:3]), "completion": with_calls("", [OSLO])}
    assert said == {"prompt": as_text(TALK), "completion": "Yes: -4."}
    assert turns_of(said["prompt"]) == TALK and offers_tools(said["prompt"])
    older = [*messages[:2], {"role": "assistant", "content": "", "function_call": function}]
    assert answers_of("messages", {"messages": older, "functions": [WEATHER]}) == [called]


def test_calls_as_llama_factory_has_them() -> None:
    turns = [
        {"from": "human", "value": ASKED.content},
        {"from": "function_call", "value": json.dumps([OSLO._asdict(), BERGEN._asdict()])},
        {"from": "observation", "value": "<tool_response>\n-4\n</tool_response>"},
        {"from": "gpt", "value": "Yes."},
    ]
    row = {"conversations": turns, "system": "", "tools": json.dumps([WEATHER])}
    called, said = answers_of("sharegpt", row)
    assert called["completion"] == with_calls("", [OSLO, BERGEN])
    assert turns_of(said["prompt"])[-1] == Turn("tool", "-4")
    [plain] = answers_of("sharegpt", {"conversations": [turns[0], turns[3]], "tools": "[]"})
    assert plain == {"prompt": ASKED.content, "completion": "Yes."}


def test_what_a_table_fills_in_is_left_out() -> None:
    filled = {**WEATHER, "strict": None, "parameters": {"properties": {"city": {}, "day": None}}}
    turns = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1, "y": None}}}],
        },
    ]
    [answer] = answers_of("messages", {"messages": turns, "tools": [filled]})
    assert without_calls(answer["completion"]) == ("", [Call("f", {"x": 1})])
    assert "null" not in answer["prompt"]


@pytest.mark.parametrize(
    ("turn", "tools", "reason"),
    [
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, None, "no name with arguments"),
        ({"role": "assistant", "function_call": {"name": "f"}}, None, "no name with arguments"),
        ({"role": "assistant", "tool_calls": [{"function": None}]}, None, "no name with arguments"),
        ({"role": "assistant", "tool_calls": [{"function": "f"}]}, None, "no name with arguments"),
        ({"role": "function_call", "content": "[1]"}, None, "'function_call' has calls"),
        ({"role": "function_call", "content": "f(1)"}, None, "no JSON"),
        ({"role": "function_call", "content": "[" * 9999}, None, "no JSON"),
        (
            {"role": "user", "content": "x", "tool_calls": [OSLO._asdict()]},
            None,
            "'user' has calls",
        ),
        ({"role": "assistant", "content": "Yes"}, "hammer", "no JSON"),
        ({"role": "assistant", "content": "Yes"}, {"name": "f"}, "no list"),
        ({"role": "assistant", "content": "Yes"}, ["f"], "has no name"),
        ({"role": "assistant", "content": "Yes"}, [{"function": {}}], "has no name"),
        ({"role": "assistant", "content": "Yes"}, [{"function": None}], "has no name"),
        ({"role": "assistant", "content": "Yes"}, [{"function": "f"}], "has no name"),
    ],
)
def test_what_is_no_call_or_no_tool(turn: dict[str, Any], tools: Any, reason: str) -> None:
    turns = [{"role": "user", "content": "Hi"}, turn, {"role": "assistant", "content": "Bye"}]
    with pytest.raises(BadRow, match=reason):
        answers_of("messages", {"messages": turns, "tools": tools})


def test_messages_for_a_chat_template() -> None:
    messages, tools = messages_of(TALK)
    assert tools == TOOLS
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    [call] = messages[2]["tool_calls"]
    assert call["function"] == OSLO._asdict() and len(call["id"]) == 9
    assert messages[3]["tool_call_id"] == call["id"] and messages[3]["name"] == "weather"


@pytest.mark.parametrize("template", [HERMES, LLAMA, MISTRAL, TAGS])
def test_a_model_reads_and_writes_calls_in_its_own_form(tiny_tokenizer: Any, template: str) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = template
    prompts = encode_prompts([as_text(TALK)], tokenizer, is_encoder_decoder=False)
    messages, tools = messages_of(TALK)
    expected = tokenizer.apply_chat_template(
        messages, tools=tools, add_generation_prompt=True, tokenize=False
    )
    [same] = tokenizer([expected], add_special_tokens=False)["input_ids"]
    assert prompts == [same]
    [written] = encode_completions([TALK[3].content], tokenizer, is_encoder_decoder=False)
    assert written[-1] == tokenizer.eos_token_id
    text = tokenizer.decode(written[:-1], skip_special_tokens=True)
    assert text in expected and as_calls(text) == TALK[3].content


@pytest.mark.parametrize("template", [NO_TOOLS, UNREADABLE])
def test_a_model_without_a_form_of_calls_gets_them_as_text(
    tiny_tokenizer: Any, template: str
) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = template
    [prompt] = encode_prompts([as_text(TALK)], tokenizer, is_encoder_decoder=False)
    text = tokenizer.decode(prompt)
    for turn in as_talk(TALK):
        assert turn.content in text
    [written] = encode_completions([TALK[3].content], tokenizer, is_encoder_decoder=False)
    assert tokenizer.decode(written[:-1]) == TALK[3].content


def test_more_calls_than_a_template_takes(tiny_tokenizer: Any) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = LLAMA
    both = with_calls("", [OSLO, BERGEN])
    [written] = encode_completions([both], tokenizer, is_encoder_decoder=False)
    assert tokenizer.decode(written[:-1]) == both


def test_a_model_without_turns_reads_lines() -> None:
    lines = as_lines(as_text(TALK)).split("\n")
    assert lines[0] == TALK[0].content and lines[-1] == 'Tool: {"celsius": -4}'


def test_what_many_conversations_share_does_not_make_them_alike() -> None:
    assert spoken(as_text(TALK[:3])) == ASKED.content
    assert spoken(as_text(TALK)) == as_text(TALK[2:])
    assert spoken("Summarize: Hi") == "Summarize: Hi"
