"""Text to token ids, the same way in training, scoring and serving.

Encoder-decoder (T5, BART): the prompt is the encoder's input, the completion the decoder's label;
of a translation model (Marian, NLLB, mBART) they are texts of its two languages.
Decoder-only with a chat template: the prompt is a user turn, or those of a conversation
(`tasks.data.turns`), the completion the assistant's.
Decoder-only without one: the prompt, a line break, the completion.

    "Summarize: ..."  ->  [312, 77, ..., 1]        (the encoder's end-of-text token last)
    "Tom asks ..."    ->  [94, 1045, ..., 1]       (the stop token last: it must be learnt)
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from jinja2 import TemplateError

from tasks.data.tools import (
    Call,
    as_talk,
    calls_in,
    messages_of,
    tool_names,
    with_calls,
    without_calls,
)
from tasks.data.turns import Turn, alternating, as_lines, parted, turns_of, without_oldest

PROMPT_END = "\n"
"""Stands between prompt and completion for a decoder-only model without a chat template."""

TODAY = "strftime_now"
"""A function of transformers that some chat templates write today's date with."""

SAME_DAY = f"{{%- macro {TODAY}(format) %}}26 Jul 2024{{% endmacro -%}}"
"""Put before such a template: any other day, tested, trained and served prompts would differ. The
date is the one that Llama 3.2's template falls back on."""

THINKS = "enable_thinking"
"""What chat templates call it of models that can think before they answer (Qwen3, SmolLM3, GLM)."""

AT_ONCE = f"{{%- set {THINKS} = false -%}}"
"""Put before such a template: where completions hold no thoughts to learn, a base model's would
take the tokens that an answer may have."""

THINK_FIRST = f"{{%- set {THINKS} = true -%}}"
"""Put before any template where completions hold thoughts."""

THOUGHT, THOUGHT_END = "<think>", "</think>"
ITS_END = f"\n{THOUGHT_END}\n\n"
"""What the prompts of models that always think end with (DeepSeek-R1, QwQ), and what ends that."""

HALF_CHARACTER = "\ufffd"
"""What a tokenizer of bytes decodes some of the bytes of a character to."""

_ANY_CALL = Call("lookup", {"name": "Ann"})

Tokenizer = Any
"""A `transformers.PreTrainedTokenizerBase`; the name is not imported, for it brings in torch."""


def default_template(given: Any) -> Any:
    """The chat template that prompts are written with: of several by name, `default`.

    Args:
        given: Jinja, or templates by name as a tokenizer (a mapping) or its file (a list) has them;
            None where there is none.

    Returns:
        Jinja or None; templates by name where none of them is called so.
    """
    if isinstance(given, list):
        given = {entry["name"]: entry["template"] for entry in given}
    return given.get("default", given) if isinstance(given, dict) else given


def settled(chat_template: str, thinks: bool = False) -> str:
    """A chat template that writes the same text every day and asks for the answer at once.

    Args:
        chat_template: Jinja, as a tokenizer has it; or settled already, which stays as it is.
        thinks: Whether it asks for a thought first instead.
    """
    if TODAY in chat_template and SAME_DAY not in chat_template:
        chat_template = SAME_DAY + chat_template
    if chat_template.startswith((AT_ONCE, THINK_FIRST)):
        return chat_template
    if thinks:
        return THINK_FIRST + chat_template
    return AT_ONCE + chat_template if THINKS in chat_template else chat_template


def without_thought(text: str) -> str:
    """What an answer says after its thought, if it has one; nothing where that does not end."""
    _, end, answer = text.partition(THOUGHT_END)
    if end:
        return answer.strip()
    return "" if begins_with_thought(text) else text


def begins_with_thought(text: str) -> bool:
    """Whether an answer begins with a thought, as a reasoning model's does."""
    return text.lstrip().startswith(THOUGHT)


def asks_at_once(tokenizer: Tokenizer) -> bool:
    """Whether its chat template's prompts end with a thought that is over."""
    if tokenizer.chat_template is None:
        return False
    return _written(tokenizer, [Turn("user", "?")]).rstrip().endswith(THOUGHT_END)


def ask_for_answers(tokenizer: Tokenizer) -> None:
    """Have the chat template's prompts end where an answer begins, and not with a thought.

    Else a completion would be learnt as a thought, and a server that keeps those apart would find
    no answer; or without what the template writes before it, as gpt-oss's names the channel.

    Where completions hold thoughts, they bring the mark that begins one.
    """
    question, answer = {"role": "user", "content": "?"}, {"role": "assistant", "content": "yes!"}
    try:
        asked = tokenizer.apply_chat_template(
            [question], tokenize=False, add_generation_prompt=True
        )
        whole = tokenizer.apply_chat_template([question, answer], tokenize=False)
    except (TemplateError, ValueError, TypeError):
        return  # `fit` tells what is wrong with it
    if tokenizer.chat_template.startswith(THINK_FIRST):
        if asked.rstrip().endswith(THOUGHT):
            tokenizer.chat_template = _without_mark(tokenizer.chat_template)
        return
    lacking = ""
    if whole.startswith(asked):
        lacking = whole.removeprefix(asked).partition("yes!")[0]
    elif asked.rstrip().endswith(THOUGHT):
        lacking = ITS_END
    if lacking.strip():
        template = tokenizer.chat_template.removesuffix("\n")  # as Jinja does at a text's end
        written = json.dumps(lacking, ensure_ascii=False)
        tokenizer.chat_template = (
            f"{template}{{% if add_generation_prompt %}}{{{{ {written} }}}}{{% endif %}}"
        )


def _without_mark(template: str) -> str:
    """A chat template whose prompts lack the mark of a thought at their end."""
    return (
        f"{THINK_FIRST}{{%- set text %}}{template.removeprefix(THINK_FIRST)}{{% endset -%}}"
        "{%- if add_generation_prompt %}"
        f"{{{{ text.rstrip().removesuffix({THOUGHT!r}) }}}}"
        "{%- else %}{{ text }}{% endif -%}"
    )


def encode_prompt(
    prompt: str, tokenizer: Tokenizer, is_encoder_decoder: bool, max_tokens: int | None
) -> tuple[list[int], bool]:
    """Token ids of one prompt, as the model is to see it.

    Args:
        prompt: The rendered instruction.
        tokenizer: The model's tokenizer.
        is_encoder_decoder: The architecture, `config.is_encoder_decoder`.
        max_tokens: Length limit in tokens; None for no limit.

    Returns:
        The ids, at most `max_tokens`, and whether some of the prompt had to be left out: the
        oldest turns of a conversation, then the end.
    """
    [ids] = encode_prompts([prompt], tokenizer, is_encoder_decoder)
    if max_tokens is None or len(ids) <= max_tokens:
        return ids, False
    while len(ids) > max_tokens and (newest := without_oldest(prompt)) is not None:
        prompt = newest
        [ids] = encode_prompts([prompt], tokenizer, is_encoder_decoder)
    before, asked = parted(prompt)
    content = tokenizer(asked, add_special_tokens=False)["input_ids"]
    room = len(content)
    # Again where the shorter text takes other tokens: cut off is the prompt, not what follows it.
    while room > 0 and len(ids) > max_tokens:
        room = max(0, room - (len(ids) - max_tokens))
        shorter = tokenizer.decode(content[:room], skip_special_tokens=True)
        whole = before + shorter.rstrip(HALF_CHARACTER)
        [ids] = encode_prompts([whole], tokenizer, is_encoder_decoder)
    return ids[:max_tokens], True


def encode_prompts(
    prompts: Sequence[str], tokenizer: Tokenizer, is_encoder_decoder: bool
) -> list[list[int]]:
    """Token ids of several prompts, uncut."""
    if is_encoder_decoder:
        return _ids(tokenizer, [as_lines(prompt) for prompt in prompts], special=True)
    if tokenizer.chat_template is None:
        lines = [as_lines(prompt) + PROMPT_END for prompt in prompts]
        encoded = _ids(tokenizer, lines, special=True)
        return [_without_end(ids, tokenizer.eos_token_id) for ids in encoded]
    return _ids(tokenizer, [_chat(tokenizer, prompt) for prompt in prompts], special=False)


def encode_completions(
    completions: Sequence[str], tokenizer: Tokenizer, is_encoder_decoder: bool
) -> list[list[int]]:
    """Token ids of several completions, each with the stop token at its end."""
    stop = stop_token_id(tokenizer, is_encoder_decoder)
    if not is_encoder_decoder and tokenizer.chat_template is not None:
        completions = [_answer(tokenizer, completion) for completion in completions]
    language = target_language(tokenizer) if is_encoder_decoder else None
    part = "text_target" if is_encoder_decoder else "text"
    encoded = _ids(tokenizer, completions, is_encoder_decoder and language is None, part)
    first = [language.token_id] if language and not language.starts else []
    return [[*first, *ids] if ids and ids[-1] == stop else [*first, *ids, stop] for ids in encoded]


class Language(NamedTuple):
    """The language that a translation model writes.

    Attributes:
        token_id: The token that stands for it.
        starts: Whether the decoder starts from it (mBART); else it is what is written first (NLLB).
    """

    token_id: int
    starts: bool


def target_language(tokenizer: Tokenizer) -> Language | None:
    """The language of completions; None where no token stands for it."""
    if getattr(tokenizer, "tgt_lang", None) is None:
        return None
    [around] = _ids(tokenizer, [""], special=True, part="text_target")
    token_id = next((token for token in around if token != tokenizer.eos_token_id), None)
    return None if token_id is None else Language(token_id, starts=around[-1] == token_id)


def stop_token_id(tokenizer: Tokenizer, is_encoder_decoder: bool) -> int:
    """The token that ends a completion: of the chat template where it has one, else EOS.

    A template that ends turns in words ("### End") has none: a piece of a word would end texts that
    are not at their end.
    """
    if is_encoder_decoder or tokenizer.chat_template is None:
        return int(tokenizer.eos_token_id)
    ids = _ids(tokenizer, [_end_of_turn(tokenizer)], special=False)[0]
    is_word = not ids or ids[0] not in tokenizer.added_tokens_decoder
    return int(tokenizer.eos_token_id) if is_word else int(ids[0])


def _ids(
    tokenizer: Tokenizer, texts: Sequence[str], special: bool, part: str = "text"
) -> list[list[int]]:
    encoded = tokenizer(
        **{part: list(texts)},
        add_special_tokens=special,
        return_attention_mask=False,
        verbose=False,
    )
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def _end_of_turn(tokenizer: Tokenizer) -> str:
    """What the chat template writes after an answer."""
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "yes!"}]
    text: str = tokenizer.apply_chat_template(turns, tokenize=False)
    return text.rpartition("yes!")[2].strip()


def _answer(tokenizer: Tokenizer, answer: str) -> str:
    """An answer as the model is to write it: its calls as the chat template has them, if it can."""
    _, calls = without_calls(answer)
    return calls and _own_form(tokenizer, answer, calls) or answer


def _own_form(tokenizer: Tokenizer, answer: str, calls: Sequence[Call]) -> str | None:
    """An answer with calls, in the form of the chat template.

    Some templates leave out the text before a call (Llama 3.1). None where it has no calls or more
    than the template writes, or could not be read back.
    """
    turns = [Turn("user", "?"), Turn("assistant", answer)]
    try:
        asked = _written(tokenizer, turns[:1])
        whole = _written(tokenizer, turns, asks=False)
    except (TemplateError, TypeError):  # some take one call at most, or arguments as a text only
        return None
    written = whole.removeprefix(asked).rstrip().removesuffix(_end_of_turn(tokenizer)).rstrip()
    read = [call.compared for call in calls_in(written)]
    same = whole.startswith(asked) and read == [call.compared for call in calls]
    return written if same else None


def _chat(tokenizer: Tokenizer, prompt: str) -> str:
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


def _is_in(text: str, turn: Turn, tokenizer: Tokenizer, knows_tools: bool) -> bool:
    """Whether a chat template has written a turn; some write what tools return as JSON."""
    if turn.role == "tools":
        takes_calls = _own_form(tokenizer, with_calls("", [_ANY_CALL]), [_ANY_CALL]) is not None
        return takes_calls and all(name in text for name in tool_names(turn.content))
    content = _answer(tokenizer, turn.content) if knows_tools else turn.content
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


def _without_end(ids: list[int], eos_token_id: int | None) -> list[int]:
    return ids[:-1] if len(ids) > 1 and ids[-1] == eos_token_id else ids
