"""The shapes that public instruction data comes in, turned into fields of a record.

    {"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"}     alpaca
    {"prompt": "Translate: Guten Tag", "response": "Good day"}                    prompt_completion
    {"prompt": [{"role": "user", "content": "Translate: Guten Tag"}],
     "completion": [{"role": "assistant", "content": "Good day"}]}                prompt_completion
    {"messages": [{"role": "user", "content": "Translate: Guten Tag"},
                  {"role": "assistant", "content": "Good day"}]}                  messages
    {"conversations": [{"from": "human", "value": "Translate: Guten Tag"},
                       {"from": "gpt", "value": "Good day"}]}                     sharegpt

All but Alpaca give the fields `prompt` and `completion`. Alpaca: Taori et al. 2023; ShareGPT:
the format of the FastChat project; messages: the chat format of the OpenAI API, with its `tools`;
pairs of turns: TRL's.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.data.thoughts import THOUGHT, THOUGHT_END
from tasks.data.tools import Call, call_of, with_calls, without_nulls
from tasks.data.turns import MARK, Turn, as_text

Cells = Mapping[str, Any]

_CALLING = "calling"
"""The role of a turn of the assistant that is a call in JSON, or several."""

_ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_call": _CALLING,
    "tool_call": _CALLING,
}
_COMPLETIONS = ("completion", "response", "output")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_WRAPPED = re.compile(r"<tool_response>\s*(.*?)\s*</tool_response>", re.DOTALL)
"""What a tool returned, in data that was written for one chat template."""

TURNS = "messages"
"""The column of a conversation, which may be mapped to one of another name."""


class BadRow(ValueError):
    """Why a row cannot be used; the message is the reason in the reject file."""


@dataclass(frozen=True)
class Shape:
    """One shape.

    Attributes:
        name: As in a recipe.
        columns: What a row must have: of each group, one column.
        fields: What `read` gives.
        read: Turns a row into fields, of each answer in it; raises `BadRow` where it cannot.
    """

    name: str
    columns: tuple[tuple[str, ...], ...]
    fields: tuple[str, ...]
    read: Callable[[Cells], list[dict[str, Any]]]

    def fits(self, columns: Collection[str]) -> bool:
        """Whether rows with these columns can have this shape."""
        return all(any(column in columns for column in group) for group in self.columns)


def recognise(columns: Collection[str], missing: Collection[str]) -> Shape | None:
    """The shape that has what is missing.

    Args:
        columns: The columns that are there.
        missing: The columns that are needed and not there.

    Returns:
        The first shape that fits the columns and gives all that is missing, or None.
    """
    fitting = (shape for shape in SHAPES.values() if shape.fits(columns))
    return next((shape for shape in fitting if set(missing) <= set(shape.fields)), None)


def _prompt_completion(row: Cells) -> list[dict[str, Any]]:
    column = next((name for name in _COMPLETIONS if name in row), "completion")
    prompt, completion = row.get("prompt"), row.get(column)
    if not isinstance(prompt, list):
        return [{"prompt": prompt, "completion": completion}]
    if isinstance(completion, str):
        completion = [{"role": "assistant", "content": completion}]
    if not isinstance(completion, list):
        raise BadRow("the prompt has turns, and the completion none")
    before = [{**turn, "weight": 0} if isinstance(turn, dict) else turn for turn in prompt]
    return prompts_and_completions([*before, *completion], row.get("system"), row.get("tools"))


def _alpaca(row: Cells) -> list[dict[str, Any]]:
    if given := next((name for name in ("system", "history") if row.get(name)), None):
        raise BadRow(f"has a {given}, which no Alpaca prompt takes: write the rows as messages")
    read = {name: row.get(name) for name in ("instruction", "output")}
    return [{**read, "input": row.get("input") or ""}]


def _messages(row: Cells) -> list[dict[str, Any]]:
    tools = row.get("tools") or row.get("functions")  # as they were called before
    return prompts_and_completions(row.get("messages"), row.get("system"), tools)


def _sharegpt(row: Cells) -> list[dict[str, Any]]:
    return prompts_and_completions(row.get("conversations"), row.get("system"), row.get("tools"))


def prompts_and_completions(
    turns: Any, system: Any = None, tools: Any = None
) -> list[dict[str, str]]:
    """Each answer of a conversation, and what came before it.

    Args:
        turns: List of `{"role", "content"}` or `{"from", "value"}`, or JSON of one. Turns of the
            assistant count as answers where the user has said something before, and their `weight`
            is not 0, which the OpenAI API does not train on either. An answer may have
            `tool_calls`, and its thought in a field of its own (`reasoning_content`).
        system: System text that stands beside the turns, as some formats have it; used where none
            of them is the system's.
        tools: Definitions of the tools that can be called: a list, or JSON of one.

    Returns:
        At least one with its `prompt` and `completion`. The prompt is what the user said or, where
        there is more than that before the answer, all of the turns in one text
        (`tasks.data.turns`); tools and system text stand first. A completion has its calls as
        `tasks.data.tools` writes them.

    Raises:
        BadRow: Not such a list, or nothing to answer.
    """
    turns = _parsed(turns, "the conversation is a text")
    if not isinstance(turns, list) or not turns:
        raise BadRow("the conversation is not a list of turns")
    said = [_turn(turn) for turn in turns]
    answers = [
        position
        for position, (turn, (role, _)) in enumerate(zip(turns, said, strict=True))
        if role == "assistant" and turn.get("weight") != 0
    ]
    if not answers:
        raise BadRow("the conversation has no turn of the assistant, or all have the weight 0")
    first = next((row for row, (role, _) in enumerate(said) if role == "user"), len(said))
    if answers[-1] < first:
        raise BadRow("the conversation has no turn of the user before the last answer")
    known = _tools(tools)
    return [_answered(said, row, system, known) for row in answers if row > first]


def _answered(said: list[Turn], row: int, system: Any, tools: list[Turn]) -> dict[str, str]:
    rules = [turn for turn in said[:row] if turn.role == "system"]
    if not rules and isinstance(system, str) and system.strip():
        rules = [Turn("system", system.strip())]
    talk = [turn for turn in said[:row] if turn.role != "system"]
    return {"prompt": as_text([*tools, *rules, *talk]), "completion": said[row].content}


def _turn(given: Any) -> Turn:
    if not isinstance(given, dict):
        raise BadRow("a turn of the conversation is not an object")
    role, text = given.get("role", given.get("from")), given.get("content", given.get("value"))
    if not isinstance(role, str) or role.lower() not in _ROLES:
        raise BadRow(f"the role '{role}' in the conversation is not known")
    turn = Turn(_ROLES[role.lower()], _text(text))
    calls = _calls(given, turn, role)
    if turn.role == _CALLING:
        turn = Turn("assistant", "")
    elif turn.role == "tool":
        turn = Turn("tool", _returned(text))
    if not (turn.content or calls or turn.role == "tool"):
        raise BadRow(f"a turn of the role '{role}' has no text")
    if turn.role == "assistant":
        turn = Turn(turn.role, _with_thought(given, turn.content))
    if mark := MARK.search(turn.content):
        raise BadRow(f"the text of a turn has the line {mark[0].strip()}, as if others began there")
    return Turn(turn.role, with_calls(turn.content, calls)) if calls else turn


def _with_thought(given: Cells, answer: str) -> str:
    """An answer behind its thought, where the turn has that in a field of its own."""
    thought = next(filter(None, (_text(given.get(name)) for name in _THOUGHTS)), "")
    return f"{THOUGHT}\n{thought}\n{THOUGHT_END}\n\n{answer}".strip() if thought else answer


def _returned(content: Any) -> str:
    """What a tool returned; what is no text as JSON."""
    text = _text(content)
    if not text and content:
        return json.dumps(content, ensure_ascii=False)
    wrapped = _WRAPPED.fullmatch(text)
    return wrapped[1] if wrapped else text


def _calls(given: Cells, turn: Turn, role: str) -> list[Call]:
    """The calls of a turn, in the formats of OpenAI and of LLaMA-Factory."""
    made = given.get("tool_calls") or given.get("function_call")
    if turn.role == _CALLING:
        made = turn.content
    if not made:
        return []
    made = _parsed(made)
    functions = map(_function, made if isinstance(made, list) else [made])
    calls = [call_of(function) if function else None for function in functions]
    if turn.role not in ("assistant", _CALLING) or None in calls:
        raise BadRow(f"a turn of the role '{role}' has calls that are no name with arguments")
    return [call for call in calls if call]


def _tools(given: Any) -> list[Turn]:
    """The turn of the tools' definitions; none where there are no tools."""
    tools = _parsed(given)
    if not tools:
        return []
    if not isinstance(tools, list):
        raise BadRow("the tools are no list of definitions")
    functions = [_function(tool) for tool in tools]
    if not all(function and isinstance(function.get("name"), str) for function in functions):
        raise BadRow("the definition of a tool has no name")
    wrapped = [{"type": "function", "function": without_nulls(tool)} for tool in functions]
    return [Turn("tools", json.dumps(wrapped, ensure_ascii=False))]


def _function(given: Any) -> Cells | None:
    """The object of a function or of a call, which may stand in another one; None without any."""
    function = given.get("function", given) if isinstance(given, dict) else None
    return function if isinstance(function, dict) else None


def _parsed(given: Any, what: str = "tools or their calls are a text") -> Any:
    """What a text of JSON says; else what is given."""
    if not isinstance(given, str) or not given.strip():
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"{what} that is no JSON: {error}") from None


def _text(content: Any) -> str:
    """A turn's text; empty where there is none, or a part of it is no text, as a picture."""
    if isinstance(content, list):
        given = [part.get("text") for part in content if isinstance(part, dict)]
        texts = [text for text in given if isinstance(text, str)]
        content = "".join(texts) if len(texts) == len(content) else None
    return content.strip() if isinstance(content, str) else ""


PAIRS = Shape(
    "prompt_completion", (("prompt",), _COMPLETIONS), ("prompt", "completion"), _prompt_completion
)
"""What a column `prompt` and one of the answer have, be they texts or turns."""

SHAPES = {
    shape.name: shape
    for shape in (
        Shape("messages", (("messages",),), ("prompt", "completion"), _messages),
        Shape("sharegpt", (("conversations",),), ("prompt", "completion"), _sharegpt),
        Shape(
            "alpaca", (("instruction",), ("output",)), ("instruction", "input", "output"), _alpaca
        ),
        PAIRS,
    )
}
"""Name -> shape, in the order in which they are tried."""
