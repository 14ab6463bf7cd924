"""Load and check a prompt file: the phrasings of one task, and the fields they need.

A file is `configs/prompts/<name>.yaml`, checked whole before anything is rendered; a `BadPrompt`
reports every issue it has, each with its line. One example record, that of `review_sentiment`:

    {"text": "The zip broke on the first day.", "label": "negative"}
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from jinja2 import TemplateSyntaxError
from pydantic import BaseModel, ConfigDict, Field

from tasks.config.section import at_home
from tasks.errors import BadPrompt, Issue
from tasks.prompts.document import Document, Loc
from tasks.prompts.sandbox import RenderError, compile_template, fields_used, render_text

REPOSITORY = Path(__file__).resolve().parents[2]
PROMPTS = Path("configs/prompts")
PUBLISHED = "published"
"""In place of the version of a promptsource file, which has none."""

Task = Literal[
    "summarization",
    "classification",
    "entities",
    "translation",
    "question_answering",
    "generation",
]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]


@dataclass(frozen=True)
class PromptTemplate:
    """One phrasing.

    Attributes:
        name: Unique in its file.
        heldout: Never trained on: it measures how the model takes a phrasing it has not seen.
        prompt: Jinja text of what the model reads.
        completion: Jinja text of what it must answer.
    """

    name: str
    heldout: bool
    prompt: str
    completion: str


@dataclass(frozen=True)
class PromptFile:
    """The phrasings of one task.

    Attributes:
        name: The file's stem.
        version: Changes with any change of wording.
        task: What the model is asked to do, one of `Task`.
        slots: The record fields that the prompts use.
        target: The record field that the completions are made of.
        choices: The only permitted completions, or empty.
        templates: The phrasings, in the file's order.
        example: A golden record with all slots and the target; empty for a promptsource file.
        skipped: "name: reason" of each published template that was left out.
    """

    name: str
    version: str
    task: str
    slots: tuple[str, ...]
    target: str
    choices: tuple[str, ...]
    templates: tuple[PromptTemplate, ...]
    example: dict[str, str]
    skipped: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the content: not of the path, the comments or the layout."""
        content = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def is_published(self) -> bool:
        """Whether it was read from a promptsource file."""
        return self.version == PUBLISHED

    @property
    def training(self) -> tuple[PromptTemplate, ...]:
        """The phrasings to train on."""
        return tuple(template for template in self.templates if not template.heldout)

    @property
    def heldout(self) -> tuple[PromptTemplate, ...]:
        """The phrasings never trained on."""
        return tuple(template for template in self.templates if template.heldout)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TemplateModel(_Strict):
    """An entry of `templates` as written."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    heldout: bool = False
    prompt: Text
    completion: str | None = None


class HeadModel(_Strict):
    """All of a prompt file but its templates, as written."""

    name: str
    version: Annotated[int, Field(ge=1)]
    task: Task
    slots: Annotated[list[FieldName], Field(min_length=1)]
    target: FieldName
    choices: Annotated[list[Text], Field(min_length=2)] | None = None
    example: dict[str, str]


# With these for a bad value, a file's templates can still be checked against its slots.
STAND_INS: Mapping[str, object] = {
    "name": "",
    "version": 1,
    "task": "generation",
    "choices": ["-", "-"],
    "example": {},
}


def load_prompts(name_or_path: str) -> PromptFile:
    """Load a prompt file and check all of it.

    Args:
        name_or_path: A path; or a name, looked up as `./configs/prompts/NAME.yaml` and then in
            the library that comes with this package.

    Returns:
        The file, fit to render.

    Raises:
        BadPrompt: No such file, or every issue that the file has.
    """
    document = Document.read(_locate(name_or_path), yaml_tags=())
    known = (*HeadModel.model_fields, "templates")
    head, issues = document.validated(HeadModel, (), "templates", known, STAND_INS)
    if head is not None and not issues:
        issues += _head_issues(document, head)
    head_is_sound = not issues
    templates, template_issues = _templates(document)
    issues += template_issues
    issues += _set_issues(document, templates, whole=not template_issues)
    sound: list[tuple[Loc, TemplateModel]] = []
    for loc, template in templates:
        found = list(_template_issues(document, loc, template, head))
        issues += found
        if not found:
            sound.append((loc, template))
    if head is not None and head_is_sound:
        issues += _example_issues(document, head, sound)
    if head is None or issues:
        raise BadPrompt.all_of(issues)
    return PromptFile(
        name=head.name,
        version=str(head.version),
        task=head.task,
        slots=tuple(head.slots),
        target=head.target,
        choices=tuple(head.choices or ()),
        templates=tuple(_built(template, head) for _, template in templates),
        example=head.example,
    )


def _locate(name_or_path: str) -> Path:
    given = Path(at_home(name_or_path))
    folders = (PROMPTS, REPOSITORY / PROMPTS)
    for path in (given, *(folder / f"{name_or_path}.yaml" for folder in folders)):
        if path.is_file():
            return path
    beside = [str(path) for path in given.parent.glob("*.yaml")] if given.suffix else []
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    close = get_close_matches(str(given), beside, n=1) or get_close_matches(given.stem, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"
    if given.suffix and not close:
        hint = f"check the path; the current folder is {Path.cwd()}"
    raise BadPrompt(
        name_or_path, "a prompt file, or its name in configs/prompts", "no such file", hint
    )


def _built(template: TemplateModel, head: HeadModel) -> PromptTemplate:
    completion = template.completion
    if completion is None:
        completion = f"{{{{ {head.target} }}}}"
    return PromptTemplate(template.name, template.heldout, template.prompt.strip("\n"), completion)


def _templates(document: Document) -> tuple[list[tuple[Loc, TemplateModel]], list[Issue]]:
    entries = document.content.get("templates")
    if not isinstance(entries, list) or not entries:
        return [], [
            document.issue(
                ("templates",), "a list of at least one template", document.shown("templates")
            )
        ]
    templates: list[tuple[Loc, TemplateModel]] = []
    issues: list[Issue] = []
    for index in range(len(entries)):
        loc: Loc = ("templates", index)
        template, found = document.validated(TemplateModel, loc)
        issues += found
        if template is not None:
            templates.append((loc, template))
    return templates, issues


def _template_issues(
    document: Document, loc: Loc, template: TemplateModel, head: HeadModel | None
) -> Iterator[Issue]:
    """What is wrong with one template by itself: its syntax, and the fields it uses."""
    used: dict[str, frozenset[str]] = {}
    for part in ("prompt", "completion"):
        source = getattr(template, part)
        if source is None:
            continue
        try:
            compile_template(source)
            used[part] = fields_used(source)
        except TemplateSyntaxError as error:
            where = document.where((*loc, part), line=error.lineno)
            yield Issue(where, "Jinja that parses", error.message or "a syntax error")
    if head is None:
        return
    slots = {*head.slots, "choices"} if head.choices else {*head.slots}
    if "prompt" in used:
        unknown = used["prompt"] - slots
        yield from _unknown(document, (*loc, "prompt"), unknown, slots)
        if not unknown and not used["prompt"] & set(head.slots):
            expected = f"at least one slot: {', '.join(head.slots)}"
            yield document.issue((*loc, "prompt"), expected, "none", "write it as {{ slot }}")
    if "completion" in used:
        unknown = used["completion"] - slots - {head.target}
        yield from _unknown(document, (*loc, "completion"), unknown, slots | {head.target})
        if head.target not in used["completion"]:
            yield document.issue(
                (*loc, "completion"),
                f"the target: {{{{ {head.target} }}}}",
                "a template without target",
                "leave `completion` out to answer with the target field",
            )


def _unknown(
    document: Document, loc: Loc, unknown: frozenset[str], known: set[str]
) -> Iterator[Issue]:
    for name in sorted(unknown):
        close = get_close_matches(name, known, n=1)
        mend = f"did you mean '{close[0]}'?" if close else f"or add '{name}' to `slots`"
        expected = f"only {', '.join(sorted(known))}"
        yield document.issue(loc, expected, f"the unknown slot '{name}'", mend)


def _head_issues(document: Document, head: HeadModel) -> Iterator[Issue]:
    """What is wrong with the head by itself: its name, slots, choices and example fields."""
    stem = document.path.stem
    if head.name != stem:
        yield document.issue(
            ("name",), f"the file's own name, '{stem}'", f"'{head.name}'", "rename one of the two"
        )
    if head.target in head.slots:
        found = f"the target '{head.target}' among them"
        yield document.issue(("slots",), "fields to write prompts with", found, "take it out")
    if "choices" in head.slots:
        mend = "give the record field another name"
        yield document.issue(("slots",), "record fields", "the reserved name 'choices'", mend)
    if (head.choices is not None) != (head.task == "classification"):
        found = "none" if head.choices is None else f"choices for {head.task}"
        expected = "the list of labels for classification, and for nothing else"
        mend = "add `choices: [...]`" if head.choices is None else "remove them"
        yield document.issue(("choices",), expected, found, mend)
    for field in sorted({*head.slots, head.target} ^ set(head.example)):
        found = f"'{field}' {'besides' if field in head.example else 'missing'}"
        yield document.issue(("example",), "exactly the slots and the target", found)


def _set_issues(
    document: Document, templates: list[tuple[Loc, TemplateModel]], whole: bool
) -> Iterator[Issue]:
    """What is wrong with the templates taken together."""
    seen: set[str] = set()
    for loc, template in templates:
        if template.name in seen:
            yield document.issue((*loc, "name"), "unique names", f"'{template.name}' twice")
        seen.add(template.name)
    if whole and all(template.heldout for _, template in templates):
        expected = "at least one template to train on"
        yield document.issue(("templates",), expected, "only held-out ones", "heldout: false")


def _example_issues(
    document: Document, head: HeadModel, templates: list[tuple[Loc, TemplateModel]]
) -> Iterator[Issue]:
    """What goes wrong when the golden example is rendered, and which phrasings come out alike."""
    fields = {**head.example, **({"choices": head.choices} if head.choices else {})}
    folded: dict[str, str] = {}
    for loc, template in templates:
        built = _built(template, head)
        try:
            prompt = render_text(built.prompt, fields)
            completion = render_text(built.completion, fields)
        except RenderError as error:
            yield document.issue(loc, "the golden example to render", str(error))
            continue
        if not prompt or not completion:
            yield document.issue(loc, "the golden example to render", "an empty text")
        if head.choices and completion not in head.choices:
            expected = f"a completion out of: {', '.join(head.choices)}"
            yield document.issue(loc, expected, f"'{completion}'")
        twin = folded.setdefault(" ".join(prompt.casefold().split()), template.name)
        if twin != template.name:
            found = f"'{template.name}' and '{twin}' render alike"
            yield document.issue(loc, "no two templates alike", found, "reword or drop one")
