"""The languages of a translation model: its folder says them, tokenizer and model are told.

tokenizer_config.json: {"src_lang": "eng_Latn", "tgt_lang": "deu_Latn", ...}
  ->  prompts [eng_Latn, ..., </s>], completions [deu_Latn, ..., </s>]
"""

from pathlib import Path
from typing import Any

from tasks.data.tokenizing import target_language
from tasks.errors import BadModel

SOURCE, TARGET = "src_lang", "tgt_lang"


def set_languages(model: Any, tokenizer: Any, folder: Path) -> None:
    """Have a model of many languages read prompts in one and write completions in the other.

    Args:
        model: Its generation settings then begin a completion as training does.
        tokenizer: Its target language is set where the model alone says it.
        folder: Where both come from.

    Raises:
        BadModel: The folder does not say which languages, or names one that the tokenizer lacks.
    """
    if TARGET not in tokenizer.init_kwargs:
        return
    tokenizer.tgt_lang = tokenizer.tgt_lang or _language_of(model, tokenizer)
    said = {SOURCE: tokenizer.init_kwargs[SOURCE], TARGET: tokenizer.tgt_lang}
    if None in said.values() or not _knows_languages(tokenizer):
        expected = "two languages that its tokenizer knows (src_lang, tgt_lang)"
        found = ", ".join(f"{name}: {language}" for name, language in said.items())
        mend = "set both in tokenizer_config.json, in a copy of the folder where it is the hub's"
        raise BadModel(str(folder), expected, found, mend)
    language = target_language(tokenizer)
    assert language is not None
    if language.starts:
        model.generation_config.decoder_start_token_id = language.token_id
    else:
        model.generation_config.forced_bos_token_id = language.token_id


def _language_of(model: Any, tokenizer: Any) -> str | None:
    """The language that the model's settings begin a completion with, if any."""
    given = model.generation_config
    for token_id in (given.forced_bos_token_id, given.decoder_start_token_id):
        token = tokenizer.convert_ids_to_tokens(token_id) if token_id is not None else None
        if token is not None and token not in tokenizer.special_tokens_map.values():
            return str(token).strip("_")  # M2M100 calls __de__ what it names de
    return None


def _knows_languages(tokenizer: Any) -> bool:
    try:
        around = tokenizer("", text_target="")
    except KeyError:
        return False
    return tokenizer.unk_token_id not in [*around["input_ids"], *around["labels"]]
