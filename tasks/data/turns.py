"""The turns of a conversation in one text, for a prompt is a text everywhere.

    <|system|>
    Be brief.
    <|user|>
    Hi
    <|assistant|>
    Hello
    <|user|>
    Capital of Norway?

A text that does not begin so is one turn of the user. The marks are those of Zephyr's chat format
(Tunstall et al. 2023); what a model reads is its own format's. Where there are tools, their
definitions stand first, under `<|tools|>`, and what one returned is a turn `<|tool|>`
(`tasks.data.tools`).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

MARK = re.compile(r"^<\|(tools|system|user|assistant|tool)\|>$\n?", re.MULTILINE)
"""The line that begins a turn."""

RULES = ("tools", "system")
"""Roles of what holds for a whole conversation."""

ASKING = ("user", "tool")
"""Roles of turns that the assistant answers."""

_SPEAKERS = {"user": "User: ", "assistant": "Assistant: ", "tool": "Tool: "}


class Turn(NamedTuple):
    """What one side says.

    Attributes:
        role: "tools", "system", "user", "assistant" or "tool".
        content: The text; of "tools" JSON.
    """

    role: str
    content: str


def as_text(turns: Sequence[Turn]) -> str:
    """Turns as one text; one turn of the user alone as it stands."""
    if [turn.role for turn in turns] == ["user"]:
        return turns[0].content
    return "\n".join(f"<|{turn.role}|>\n{turn.content}" for turn in turns)


def turns_of(text: str) -> list[Turn]:
    """The turns of a text, the last of them the user's or a tool's.

    A text that does not begin with a mark, or ends with another's turn, is one turn of the user.
    An empty turn of the assistant at the end, as a ready prompt may have, is left out.
    """
    said = [Turn("user", text)]
    if not MARK.match(text):
        return said
    _, *parts = MARK.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    turns = [Turn(role, content.strip()) for role, content in pairs]
    if turns[-1] == Turn("assistant", ""):
        turns.pop()
    return turns if turns and turns[-1].role in ASKING else said


def as_lines(text: str) -> str:
    """A conversation for a model that knows no turns: "User: ..." and "Assistant: ..." lines.

    Text of the system stands first, and the tools before it; where the user alone speaks, and once,
    without "User: ".
    """
    turns = turns_of(text)
    rules = [turn.content for turn in turns if turn.role in RULES]
    talk = [turn for turn in turns if turn.role not in RULES]
    if len(talk) == 1:
        return "\n".join([*rules, talk[0].content])
    return "\n".join([*rules, *(_SPEAKERS[turn.role] + turn.content for turn in talk)])


def alternating(turns: Sequence[Turn]) -> list[Turn]:
    """Turns for a chat template that takes no system text, or no side twice in a row.

    Text of the system goes in front of what the user says first.
    """
    joined: list[Turn] = []
    for turn in turns:
        role = "user" if turn.role == "system" else turn.role
        if joined and joined[-1].role == role:
            joined[-1] = Turn(role, f"{joined[-1].content}\n\n{turn.content}")
        else:
            joined.append(Turn(role, turn.content))
    return joined


def without_oldest(text: str) -> str | None:
    """A conversation from the user's next turn on, its rules kept; None at its last."""
    turns = turns_of(text)
    asked = [position for position, turn in enumerate(turns) if turn.role == "user"]
    if len(asked) < 2:
        return None
    rules = [turn for turn in turns[: asked[1]] if turn.role in RULES]
    return as_text([*rules, *turns[asked[1] :]])


def spoken(text: str) -> str:
    """A conversation without what holds for the whole of it, which many others may share."""
    return as_text([turn for turn in turns_of(text) if turn.role not in RULES])


def parted(text: str) -> tuple[str, str]:
    """What stands before the content of the last turn, and that content."""
    if len(turns_of(text)) == 1:
        return "", text
    end = list(MARK.finditer(text))[-1].end()
    return text[:end], text[end:]
