"""Writes prompts and answers as a chat template has them.

"Hi"  ->  "<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n"
"""

import json
from collections.abc import Sequence
from contextlib import suppress

from jinja2 import TemplateError

from tasks.data.chat_template import Tokenizer
from tasks.data.thoughts import THOUGHT_END, without_thought
from tasks.data.tools import (
    Call,
    as_talk,
    calls_in,
    messages_of,
    tool_names,
    with_calls,
    without_calls,
)
from tasks.data.turns import Turn, alternating, as_lines, turns_of

_ANY_CALL = with_calls("", [Call("lookup", {"name": "Ann"})])


def chat_prompt(prompt: str, tokenizer: Tokenizer) -> str:
    """The prompt in the model's own format: its turns, as far as the chat template takes them."""
    turns = turns_of(prompt)
    if len(turns) > 1:
        talk = as_talk(turns)
        for taken, knows_tools in ((turns, True), (talk, False), (alternating(talk), False)):
            with suppress(TemplateError, TypeError):  # some take no system text, or one side twice
                text = _written(tokenizer, taken, knows_tools)
                if all(_is_in(text, turn, tokenizer, knows_tools) for turn in taken):
                    return text
    return _written(tokenizer, [Turn("user", as_lines(prompt))])


def chat_answer(answer: str, tokenizer: Tokenizer) -> str:
    """An answer as the model is to write it: its calls as the chat template has them, if it can."""
    return _own_form(tokenizer, answer) or answer


def asks_at_once(tokenizer: Tokenizer) -> bool:
    """Whether its chat template's prompts end with a thought that is over."""
    if tokenizer.chat_template is None:
        return False
    return _written(tokenizer, [Turn("user", "?")]).rstrip().endswith(THOUGHT_END)


def end_of_turn(tokenizer: Tokenizer) -> str:
    """What the chat template writes after an answer."""
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "yes!"}]
    text: str = tokenizer.apply_chat_template(turns, tokenize=False)
    return text.rpartition("yes!")[2].strip()


def _own_form(tokenizer: Tokenizer, answer: str) -> str | None:
    """An answer with calls, in the form of the chat template.

    Some templates leave out the text before a call (Llama 3.1). None where the answer has no calls,
    or the template does not write them all, or so that they could not be read back.
    """
    _, calls = without_calls(answer)
    if not calls:
        return None
    turns = [Turn("user", "?"), Turn("assistant", answer)]
    try:
        asked = _written(tokenizer, turns[:1])
        whole = _written(tokenizer, turns, asks=False)
    except (TemplateError, TypeError):  # some take one call at most, or arguments as a text only
        return None
    written = whole.removeprefix(asked).rstrip().removesuffix(end_of_turn(tokenizer)).rstrip()
    read = [call.compared for call in calls_in(written)]
    same = whole.startswith(asked) and read == [call.compared for call in calls]
    return written if same else None


def _is_in(text: str, turn: Turn, tokenizer: Tokenizer, knows_tools: bool) -> bool:
    """Whether a chat template has written a turn; some write what tools return as JSON."""
    if turn.role == "tools":
        takes_calls = _own_form(tokenizer, _ANY_CALL) is not None
        return takes_calls and all(name in text for name in tool_names(turn.content))
    content = chat_answer(turn.content, tokenizer) if knows_tools else turn.content
    content = without_thought(content)  # which most leave out of earlier answers
    return content in text or json.dumps(content, ensure_ascii=False)[1:-1] in text


def _written(
    tokenizer: Tokenizer, turns: Sequence[Turn], knows_tools: bool = True, asks: bool = True
) -> str:
    messages, tools = messages_of(turns) if knows_tools else ([t._asdict() for t in turns], None)
    text: str = tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=asks
    )
    return text
