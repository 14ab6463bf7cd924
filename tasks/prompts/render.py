r"""Turn a record into a prompt-completion pair, in a phrasing drawn by the record's own id.

The record `{"dialogue": "Ana: Lunch at one?\nBo: Sure.", "summary": "They meet at one."}`, in the
phrasing `Give the gist of this chat: {{ dialogue }}`, becomes

    Rendered(template="gist", prompt="Give the gist of this chat: Ana: Lunch at one?\nBo: Sure.",
             completion="They meet at one.", references=("They meet at one.",))
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.prompts.library import PromptFile, PromptTemplate
from tasks.prompts.sandbox import DRAWN_FROM, RenderError, render_text

WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,15}")

__all__ = ["RenderError", "Rendered", "choose_template", "render", "render_prompt"]


@dataclass(frozen=True)
class Rendered:
    """A prompt-completion pair.

    Attributes:
        template: Name of the phrasing.
        prompt: What the model reads.
        completion: What it must answer.
        references: What counts as a right answer, in the template's words; the completion first.
    """

    template: str
    prompt: str
    completion: str
    references: tuple[str, ...]


def choose_template(
    record_id: str, templates: Sequence[PromptTemplate], seed: int
) -> PromptTemplate:
    """Draw the phrasing of a record: the template whose hash with seed and record is highest.

    Rendezvous hashing (Thaler and Ravishankar, 1998): the same record keeps its phrasing whatever
    else is in the data set and however the templates are ordered, and the n-th template added
    takes over about 1/n of the records and moves no other.

    Args:
        record_id: Stable id of the record.
        templates: At least one, e.g. `prompts.training`.
        seed: Another seed, another draw.

    Returns:
        One of `templates`.
    """
    key = hashlib.sha256(f"{seed}\0{record_id}\0".encode())

    def score(template: PromptTemplate) -> bytes:
        hashed = key.copy()
        hashed.update(template.name.encode())
        return hashed.digest()

    return max(templates, key=score)


def render(
    prompts: PromptFile,
    record: Mapping[str, object],
    template: PromptTemplate,
    alternatives: Sequence[str] = (),
) -> Rendered:
    """Render a record in one phrasing.

    A number is written as `str` writes it, but a whole number that a reader gave as a float (5.0
    stars) loses its `.0`. None and NaN count as missing.

    Args:
        prompts: The file that `template` is from.
        record: Field name -> value.
        template: The phrasing.
        alternatives: Other values of the target that are right as well.

    Returns:
        The pair, without white space at the ends and with LF as line end.

    Raises:
        RenderError: A field is missing, a text comes out empty, or the completion is not among
            the file's choices.
    """
    prompt = _filled("prompt", template.prompt, prompts, record)
    completion = _completion(prompts, record, template)
    others = (
        _completion(prompts, {**record, prompts.target: value}, template) for value in alternatives
    )
    return Rendered(template.name, prompt, completion, (completion, *others))


def render_prompt(
    prompts: PromptFile, record: Mapping[str, object], template: PromptTemplate
) -> str:
    """Render only the prompt, as when serving: the record has no target yet.

    Args:
        prompts: The file that `template` is from.
        record: Field name -> value, of at least the slots.
        template: The phrasing.

    Returns:
        The prompt, as `render` gives it.

    Raises:
        RenderError: A slot is missing, or the prompt comes out empty.
    """
    return _filled("prompt", template.prompt, prompts, record)


def _completion(prompts: PromptFile, record: Mapping[str, object], template: PromptTemplate) -> str:
    completion = _filled("completion", template.completion, prompts, record)
    if prompts.choices and completion not in prompts.choices:
        raise RenderError(f"'{completion}' is not one of: {', '.join(prompts.choices)}")
    return completion


def _fields(prompts: PromptFile, record: Mapping[str, object]) -> dict[str, object]:
    fields: dict[str, object] = {DRAWN_FROM: prompts.slots}
    for name in (*prompts.slots, prompts.target):
        value = record.get(name)
        if isinstance(value, float):
            if value != value:
                continue
            value = int(value) if value.is_integer() else value
        if value is not None:
            fields[name] = value
    if prompts.choices:
        fields.setdefault("choices", prompts.choices)
    return fields


def _filled(part: str, source: str, prompts: PromptFile, record: Mapping[str, object]) -> str:
    fields = _fields(prompts, record)
    text = _rendered(source, fields) if prompts.is_published else render_text(source, fields)
    if not text:
        raise RenderError(f"the {part} is empty")
    return text


def _rendered(source: str, fields: Mapping[str, object]) -> str:
    """Render a template of promptsource, which may count or index with a field.

    Its data sets have numbers there, records have text: `answer_choices[label]` takes the 1 of
    "1". A template that fails with numbers gets the text.
    """
    try:
        return render_text(source, {name: _number(value) for name, value in fields.items()})
    except RenderError as error:
        try:
            return render_text(source, fields)
        except RenderError:
            raise error from None


def _number(value: object) -> object:
    is_number = isinstance(value, str) and WHOLE_NUMBER.fullmatch(value)
    return int(str(value)) if is_number else value
