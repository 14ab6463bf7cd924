"""Tools that a model may call: their definitions, its calls and what they returned, as text.

    <|tools|>
    [{"type": "function", "function": {"name": "weather", "parameters": {...}}}]
    <|user|>
    Is it cold in Oslo?
    <|assistant|>
    <tool_call>
    {"name": "weather", "arguments": {"city": "Oslo"}}
    </tool_call>
    <|tool|>
    {"celsius": -4}

Calls stand in an answer as Hermes models write them (Nous Research), and Qwen 2.5 and 3. A model
reads and learns them as its own chat template writes them, where `calls_in` can read that; else as
they stand here.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tasks.data.turns import RULES, Turn, turns_of

Found = Iterator[tuple[int, "Call"]]
"""Where calls begin in a text, and the calls."""

_BEGIN, _END = "<tool_call>", "</tool_call>"
_CALLS = re.compile(rf"(?:^|\n){_BEGIN}\s*\{{.*\}}\s*{_END}$", re.DOTALL)
_ARGUMENTS = ("arguments", "parameters")
_FUNCTION = re.compile(r"<function=([^>\s]+)>(.*?)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
"""Qwen 3 Coder, Qwen 3.5 and later, Nemotron 3."""
_PAIR = r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>"
_NAMED = re.compile(rf"{_BEGIN}\s*([\w.-]+)\s*((?:{_PAIR}\s*)*){_END}", re.DOTALL)
"""GLM 4.5 and later."""
_LEFT_OPEN = re.compile(r"(?:<[^<>\s]*>|\[[A-Z_]*\]|\[|```json|\s)*$")
"""What formats of calls write before the JSON."""

_INTRODUCTION = (
    f'Functions that can be called, by {_BEGIN}{{"name": NAME, "arguments": {{...}}}}{_END}:\n'
)


class Call(NamedTuple):
    """A call of a tool.

    Attributes:
        name: Of the function.
        arguments: Name -> value, as JSON has it.
    """

    name: str
    arguments: Mapping[str, Any]

    @property
    def compared(self) -> tuple[str, str]:
        """Name and arguments, however they are written: some formats do not tell 5 from "5"."""
        texts = {
            key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for key, value in self.arguments.items()
        }
        return self.name, json.dumps(texts, sort_keys=True)


def call_of(value: Mapping[str, Any]) -> Call | None:
    """The call that an object of JSON is; None where it is none.

    Args:
        value: With `name` and `arguments`, or `parameters`; those may be a text of JSON.
    """
    arguments = next((value[key] for key in _ARGUMENTS if key in value), None)
    if isinstance(arguments, str):
        arguments = _value(arguments)
    name = value.get("name")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return Call(name, without_nulls(arguments))


def without_nulls(value: Any) -> Any:
    """An object of JSON without its nulls, with which tables fill what a row does not have."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def with_calls(text: str, calls: Sequence[Call]) -> str:
    """An answer that calls tools.

    Args:
        text: What is said before; may be empty.
        calls: At least one.
    """
    written = (json.dumps(call._asdict(), ensure_ascii=False) for call in calls)
    return "\n".join(filter(None, [text, *(f"{_BEGIN}\n{call}\n{_END}" for call in written)]))


def without_calls(answer: str) -> tuple[str, list[Call]]:
    """An answer's text and its calls, as `with_calls` has written them."""
    if not (found := _CALLS.search(answer)):
        return answer, []
    calls = calls_in(found[0])
    is_whole = len(calls) == found[0].count(_BEGIN)  # else one of them is no JSON
    return (answer[: found.start()], calls) if is_whole else (answer, [])


def calls_in(text: str) -> list[Call]:
    """The calls of a text, in whichever of the formats that are known.

    JSON with a name and arguments, or parameters (Hermes, Llama 3.1, Mistral, Granite); the tags of
    Qwen 3 Coder or GLM, whose values are taken for JSON where they are that.
    """
    return [call for _, call in _found(text)]


def as_calls(text: str) -> str:
    """What a model wrote, with its calls as `with_calls` writes them; without any, as it is."""
    found = _found(text)
    if not found:
        return text
    before = _LEFT_OPEN.sub("", text[: found[0][0]])
    return with_calls(before, [call for _, call in found])


def messages_of(
    turns: Sequence[Turn],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """Turns as a chat template takes them: the messages, and the tools, if any.

    The id of a call has nine letters and digits, as Mistral's templates want it. It numbers the
    calls of one turn alone, so that an answer is written the same wherever it stands.
    """
    messages: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    tools = None
    for turn in turns:
        message: dict[str, Any] = turn._asdict()
        if turn.role == "tools":
            tools = json.loads(turn.content)
            continue
        if turn.role == "assistant":
            message["content"], calls = without_calls(turn.content)
            waiting = [
                {"id": f"call{number:05}", "type": "function", "function": call._asdict()}
                for number, call in enumerate(calls)
            ]
            message |= {"tool_calls": list(waiting)} if calls else {}
        elif turn.role == "tool" and waiting:
            call = waiting.pop(0)
            message |= {"tool_call_id": call["id"], "name": call["function"]["name"]}
        messages.append(message)
    return messages, tools


def as_talk(turns: Sequence[Turn]) -> list[Turn]:
    """Turns for a chat template that knows no tools.

    Their definitions stand in the system's text, what they returned is a turn of the user.
    """
    rules = [
        _INTRODUCTION + turn.content if turn.role == "tools" else turn.content
        for turn in turns
        if turn.role in RULES
    ]
    talk = [
        Turn("user", f"<tool_response>\n{turn.content}\n</tool_response>")
        if turn.role == "tool"
        else turn
        for turn in turns
        if turn.role not in RULES
    ]
    return [Turn("system", "\n\n".join(rules)), *talk] if rules else talk


def offers_tools(prompt: str) -> bool:
    """Whether tools can be called in answer to a prompt."""
    return turns_of(prompt)[0].role == "tools"


def tool_names(definitions: str) -> list[str]:
    """The names of the tools of a turn `tools`."""
    return [tool["function"]["name"] for tool in json.loads(definitions)]


def _found(text: str) -> list[tuple[int, Call]]:
    found = (list(read(text)) for read in (_functions, _named, _objects))
    return next(filter(None, found), [])


def _functions(text: str) -> Found:
    for found in _FUNCTION.finditer(text):
        pairs = _PARAMETER.findall(found[2])
        yield found.start(), Call(found[1], {key: _value(value) for key, value in pairs})


def _named(text: str) -> Found:
    for found in _NAMED.finditer(text):
        pairs = re.findall(_PAIR, found[2], re.DOTALL)
        yield found.start(), Call(found[1], {key: _value(value) for key, value in pairs})


def _value(text: str) -> Any:
    """What a text of JSON says; of any other the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # also of a number with thousands of digits
        return text


def _objects(text: str) -> Found:
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if call := call_of(value):
                yield start, call
        start = text.find("{", end)
