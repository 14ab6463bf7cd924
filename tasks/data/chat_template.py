"""Readies a chat template: the same text every day, and prompts that end where an answer begins.

A prompt of Qwen 3 ends with "<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n".
"""

import json
from typing import Any

from jinja2 import TemplateError

from tasks.data.thoughts import THOUGHT, THOUGHT_END

Tokenizer = Any
"""A `transformers.PreTrainedTokenizerBase`; the name is not imported, for it brings in torch."""

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

ITS_END = f"\n{THOUGHT_END}\n\n"
"""What the prompts of models that always think end with (DeepSeek-R1, QwQ), and what ends that."""


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
