"""Read a promptsource file as published: other people's phrasings for a known data set.

The format is that of bigscience-workshop/promptsource (Bach et al., 2022, "PromptSource: An
Integrated Development Environment and Repository for Natural Language Prompts"). One template:

    jinja: "{{ sentence }} Is that good news? ||| {{ answer_choices[label] }}"
    answer_choices: "no ||| yes"

With the example record `{"sentence": "Sales doubled.", "label": 1}` it asks "Sales doubled. Is
that good news?" and answers "yes". Each becomes an ordinary template: the halves stand by
themselves, and the answer choices are set at their top.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jinja2 import TemplateSyntaxError, nodes
from pydantic import BaseModel

from tasks.config.section import at_home
from tasks.errors import BadPrompt, Issue
from tasks.prompts.document import Document
from tasks.prompts.library import PUBLISHED, PromptFile, PromptTemplate
from tasks.prompts.sandbox import ENVIRONMENT, compile_template, fields_used

TAGS = ("!Template", "!TemplateMetadata")
SPLIT = "|||"
# Stands for ||| in what is split after rendering, so that a ||| within the data splits nothing.
UNIT = "\u241f"
CHOICE_ONLY = re.compile(r"\s*\{\{-?\s*answer_choices\s*\[[^{}]*\]\s*-?\}\}\s*")


class PublishedModel(BaseModel):
    """What is used of a published template; its id, metadata and reference are not."""

    name: str
    jinja: str
    answer_choices: str | None = None


@dataclass(frozen=True)
class Published:
    """A published template, split into ordinary ones.

    Attributes:
        name: As published.
        prompt: Jinja text of what the model reads.
        completion: Jinja text of what it must answer.
        choices: Its answer choices where they do not depend on the record, else empty.
        has_choices: Whether it has answer choices.
    """

    name: str
    prompt: str
    completion: str
    choices: tuple[str, ...]
    has_choices: bool

    @cached_property
    def asked_from(self) -> frozenset[str]:
        """The fields that the prompt uses."""
        return fields_used(self.prompt)

    @cached_property
    def answered_from(self) -> frozenset[str]:
        """The fields that the completion uses."""
        return fields_used(self.completion)


def load_promptsource(path: str, target: str | None = None) -> PromptFile:
    """Read the templates of a published file that have one and the same target.

    Published files mix tasks (a review's rating from its text, a text from the rating). A prompt
    file has one target, so that its answers can be scored alike: templates that answer something
    else, or that give the target away in their prompt, are skipped, and said so in `skipped`.

    Args:
        path: A promptsource `templates.yaml`.
        target: The record field to answer with; by default the one most templates answer with.

    Returns:
        A file without held-out templates and without a golden example. `choices` is filled where
        every template answers with one of its own fixed answer choices, and holds all of them.

    Raises:
        BadPrompt: Not such a file, Jinja that does not parse, or no template with that target.
    """
    document = Document.read(Path(at_home(path)), TAGS)
    published, skipped = _published(document)
    target = target or _commonest_target(published)
    kept: list[Published] = []
    for p in published:
        if target not in p.answered_from:
            skipped.append(f"{p.name}: does not answer with '{target}'")
        elif target in p.asked_from:
            skipped.append(f"{p.name}: its prompt uses '{target}' too")
        else:
            kept.append(p)
    if not kept:
        fields = sorted({field for p in published for field in p.answered_from - p.asked_from})
        expected = f"a template that answers with '{target}'" if target else "a template"
        mend = f"set `target` to one of: {', '.join(fields)}" if fields else ""
        raise BadPrompt(path, expected, f"none; skipped {len(skipped)}", mend)
    slots = sorted({field for p in kept for field in p.asked_from | p.answered_from} - {target})
    return PromptFile(
        name=document.path.stem,
        version=PUBLISHED,
        task="classification" if all(p.has_choices for p in kept) else "generation",
        slots=tuple(slots),
        target=target,
        choices=_all_choices(kept),
        templates=tuple(PromptTemplate(p.name, False, p.prompt, p.completion) for p in kept),
        example={},
        skipped=tuple(skipped),
    )


def _published(document: Document) -> tuple[list[Published], list[str]]:
    entries = document.content.get("templates")
    if not isinstance(entries, dict):
        found = document.shown("templates")
        raise BadPrompt(document.where(("templates",)), "a mapping of templates", found)
    published: list[Published] = []
    skipped: list[str] = []
    issues: list[Issue] = []
    for key in entries:
        entry, found_issues = document.validated(PublishedModel, ("templates", key))
        issues += found_issues
        if entry is None:
            continue
        if SPLIT not in entry.jinja:
            skipped.append(f"{entry.name}: has no '{SPLIT}' between prompt and completion")
            continue
        try:
            compile_template(entry.jinja)
            halves = _split(entry)
            if halves is None:
                skipped.append(f"{entry.name}: has its '{SPLIT}' inside a block")
            else:
                published.append(halves)
        except TemplateSyntaxError as error:
            where = document.where(("templates", key, "jinja"))
            issues.append(Issue(where, "Jinja that parses", error.message or "a syntax error"))
    names = Counter(p.name for p in published)
    issues += [
        document.issue(("templates",), "unique names", f"'{name}' {count} times")
        for name, count in names.items()
        if count > 1
    ]
    if issues:
        raise BadPrompt.all_of(issues)
    return published, skipped


def _split(entry: PublishedModel) -> Published | None:
    """Turn a published template into a prompt and a completion that stand by themselves.

    None where the prompt cannot be told from the completion, as when one `if` spans both.
    """
    declared = _declared(entry.answer_choices)
    fixed = entry.answer_choices is not None and "{" not in entry.answer_choices
    prompt, completion = entry.jinja.split(SPLIT)[:2]
    answers_with_choice = fixed and CHOICE_ONLY.fullmatch(completion) is not None
    try:
        prompt_tree, _ = ENVIRONMENT.parse(prompt), ENVIRONMENT.parse(completion)
    except TemplateSyntaxError:
        return None
    if any(prompt_tree.find_all((nodes.Assign, nodes.AssignBlock, nodes.Macro))):
        # The completion may use what the prompt sets, so it is rendered after it and cut off.
        both = f"{prompt}{UNIT}{completion}"
        completion = f"{{% set _both %}}{both}{{% endset %}}{{{{ _both.split('{UNIT}')[1] }}}}"
    prompt, completion = declared + prompt.strip(), declared + completion.strip()
    for text in (prompt, completion):
        compile_template(text)
    choices = _parts(entry.answer_choices) if answers_with_choice else ()
    return Published(entry.name, prompt, completion, choices, entry.answer_choices is not None)


def _parts(answer_choices: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (answer_choices or "").split(SPLIT))


def _declared(answer_choices: str | None) -> str:
    """The answer choices as a Jinja statement; they are Jinja themselves, so rendered first."""
    if answer_choices is None:
        return ""
    text = UNIT.join(_parts(answer_choices))
    return (
        f"{{% set _choices %}}{text}{{% endset %}}"
        f"{{% set answer_choices = _choices.split('{UNIT}') | map('trim') | answer_choices %}}"
    )


def _commonest_target(published: list[Published]) -> str:
    counts = Counter(field for p in published for field in sorted(p.answered_from - p.asked_from))
    return counts.most_common(1)[0][0] if counts else ""


def _all_choices(kept: list[Published]) -> tuple[str, ...]:
    if not all(p.choices for p in kept):
        return ()
    return tuple(dict.fromkeys(choice for p in kept for choice in p.choices))
