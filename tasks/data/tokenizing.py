"""Text to token ids, the same way in training, scoring and serving.

Encoder-decoder (T5, BART): the prompt is the encoder's input, the completion the decoder's label;
of a translation model (Marian, NLLB, mBART) they are texts of its two languages.
Decoder-only with a chat template: the prompt is a user turn, or those of a conversation
(`tasks.data.turns`), the completion the assistant's.
Decoder-only without one: the prompt, a line break, the completion.

    "Summarize: ..."  ->  [312, 77, ..., 1]        (the encoder's end-of-text token last)
    "Tom asks ..."    ->  [94, 1045, ..., 1]       (the stop token last: it must be learnt)
"""

from collections.abc import Sequence
from typing import NamedTuple

from tasks.data.chat_template import Tokenizer
from tasks.data.chats import chat_answer, chat_prompt, end_of_turn
from tasks.data.turns import as_lines, parted, without_oldest

PROMPT_END = "\n"
"""Stands between prompt and completion for a decoder-only model without a chat template."""

HALF_CHARACTER = "\ufffd"
"""What a tokenizer of bytes decodes some of the bytes of a character to."""


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
    return _ids(tokenizer, [chat_prompt(prompt, tokenizer) for prompt in prompts], special=False)


def encode_completions(
    completions: Sequence[str], tokenizer: Tokenizer, is_encoder_decoder: bool
) -> list[list[int]]:
    """Token ids of several completions, each with the stop token at its end."""
    stop = stop_token_id(tokenizer, is_encoder_decoder)
    if not is_encoder_decoder and tokenizer.chat_template is not None:
        completions = [chat_answer(completion, tokenizer) for completion in completions]
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
    ids = _ids(tokenizer, [end_of_turn(tokenizer)], special=False)[0]
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


def _without_end(ids: list[int], eos_token_id: int | None) -> list[int]:
    return ids[:-1] if len(ids) > 1 and ids[-1] == eos_token_id else ids
