"""Counts tokens without torch and transformers, for plans: from the tokenizer's own file.

token_counts([{"prompt": "Summarize: ...", "completion": "Tom asks ..."}], folder)
-> TokenCounts([PairLength(212, 31)], "by the base model's tokenizer", all_stop=True)
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateError
from jinja2.ext import Extension
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tasks.config import ChatTemplate
from tasks.data.base_model import read_config
from tasks.data.chat_template import ask_for_answers, default_template, settled
from tasks.data.conversations import follows
from tasks.data.tokenizing import encode_completions, encode_prompts, stop_token_id
from tasks.errors import BadModel
from tasks.stage import read_json

CHARACTERS_PER_TOKEN = 4
"""Assumed where the base model has no tokenizer.json."""


class Generation(Extension):
    """The tag `generation` of transformers: marks what the assistant says, and writes nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[Node]:
        """What is between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class LightTokenizer:
    """What `tasks.data.tokenizing` needs of a tokenizer, from its files and without transformers.

    Raises:
        BadModel: tokenizer.json can't be used.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], thinks: bool = False) -> None:
        from tokenizers import Tokenizer

        path = folder / "tokenizer.json"
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise BadModel(str(path), "a tokenizer", str(error), "restore the file") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.added_tokens_decoder = self._tokenizer.get_added_tokens_decoder()
        settings = folder / "tokenizer_config.json"
        self._settings = read_json(settings) if settings.exists() else {}
        given = config.get("eos_token_id")
        named = self._tokenizer.token_to_id(self._special("eos_token"))
        known = [named, *(given if isinstance(given, list) else [given])]
        # Only numbers of tokens matter here, so an id that no text has will do.
        self.eos_token_id = next((number for number in known if number is not None), -1)
        beside = folder / "chat_template.jinja"
        template = default_template(self._settings.get("chat_template"))
        self.chat_template = beside.read_text(encoding="utf-8") if beside.exists() else template
        if isinstance(self.chat_template, str):
            self.chat_template = settled(self.chat_template, thinks)
            ask_for_answers(self)

    def __call__(
        self,
        text: Sequence[str] = (),
        text_target: Sequence[str] = (),
        *,
        add_special_tokens: bool,
        **_: object,
    ) -> dict[str, list[list[int]]]:
        """Token ids of several texts."""
        texts = [*text, *text_target]
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)
        return {"input_ids": [encoding.ids for encoding in encoded]}

    def apply_chat_template(
        self,
        turns: Sequence[Mapping[str, Any]],
        tokenize: bool,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """Text of a chat.

        Raises:
            TemplateError: The template needs more than plain Jinja, or none is the default.
        """
        if not isinstance(self.chat_template, str):
            raise TemplateError("several chat templates, and none is called `default`")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
        )
        environment.filters["tojson"] = partial(json.dumps, ensure_ascii=False)  # as transformers'
        return environment.from_string(self.chat_template).render(
            messages=turns,
            tools=tools,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            bos_token=self._special("bos_token"),
            eos_token=self._special("eos_token"),
        )

    def _special(self, name: str) -> str:
        token = self._settings.get(name) or ""
        return str(token["content"] if isinstance(token, dict) else token)


class PairLength(NamedTuple):
    """Tokens of a pair, uncut.

    Attributes:
        prompt: Of its prompt.
        completion: Of its completion.
        follows: Whether it is read together with the pair before it (`tasks.data.conversations`).
    """

    prompt: int
    completion: int
    follows: bool = False


class TokenCounts(NamedTuple):
    """Tokens of some examples.

    Attributes:
        lengths: Of each.
        how: How they were counted, in words.
        all_stop: Whether each completion ends with the stop token; None where that is not known.
    """

    lengths: list[PairLength]
    how: str
    all_stop: bool | None


def token_counts(
    sample: Sequence[Mapping[str, str]],
    folder: Path,
    chat_template: ChatTemplate = "auto",
) -> TokenCounts:
    """Tokens of prompt and completion of each example, as training is to see them.

    Args:
        sample: Examples with `prompt` and `completion`.
        folder: The base model's.
        chat_template: Whether its chat template is used, where it has one.
    """
    texts = [[row[part] for row in sample] for part in ("prompt", "completion")]
    if (folder / "tokenizer.json").exists():
        config = read_config(folder)
        tokenizer = LightTokenizer(folder, config, chat_template == "thinking")
        if chat_template == "none":
            tokenizer.chat_template = None
        is_encoder_decoder = bool(config.get("is_encoder_decoder"))
        try:
            prompts = encode_prompts(texts[0], tokenizer, is_encoder_decoder)
            completions = encode_completions(texts[1], tokenizer, is_encoder_decoder)
        except TemplateError:
            pass  # a chat template that only transformers understands
        else:
            lengths = _lengths(prompts, completions, is_encoder_decoder)
            stop = stop_token_id(tokenizer, is_encoder_decoder)
            all_stop = all(ids[-1] == stop for ids in completions)
            return TokenCounts(lengths, "by the base model's tokenizer", all_stop)
    by_size = [[math.ceil(len(text) / CHARACTERS_PER_TOKEN) for text in part] for part in texts]
    how = f"at {CHARACTERS_PER_TOKEN} characters a token"
    return TokenCounts(list(map(PairLength, *by_size)), how, None)


def _lengths(
    prompts: Sequence[list[int]], completions: Sequence[list[int]], is_encoder_decoder: bool
) -> list[PairLength]:
    lengths: list[PairLength] = []
    whole: list[int] = []
    for prompt, completion in zip(prompts, completions, strict=True):
        is_next = not is_encoder_decoder and follows(prompt, whole)
        lengths.append(PairLength(len(prompt), len(completion), is_next))
        whole = [*prompt, *completion]
    return lengths
