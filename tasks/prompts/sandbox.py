r"""The Jinja sandbox in which every template runs: no code execution and nothing left to chance.

A template comes from a file somebody else may have written, so it sees the record and little more.
Whatever draws at random in stock Jinja is gone: rendering a record twice gives the same text.

    >>> render_text("Summarize: {{ dialogue }}", {"dialogue": "Ana: Hi.\r\nBo: Hi. "})
    'Summarize: Ana: Hi.\nBo: Hi.'
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import multimode
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, pass_context
from jinja2.exceptions import SecurityError
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from tasks.prompts.denoising import FILTERS

MAX_RANGE = 1000
# Key of the fields under which the names of the slots stand, for the `choice` filter.
DRAWN_FROM = "_drawn_from"
# Padding methods (ljust, zfill, format, ...) are left out: a short template could fill the memory.
TEXT_METHODS = frozenset(
    """capitalize casefold count endswith find index isdigit islower isupper lower lstrip replace
    rsplit rstrip split splitlines startswith strip title upper""".split()  # noqa: SIM905
)
# `random` would make data sets irreproducible, `attr` looks attributes up by a computed name, the
# others pad to any width.
REFUSED_FILTERS = ("random", "attr", "center", "format", "indent", "wordwrap", "pprint")


class RenderError(ValueError):
    """A record cannot be rendered; the message is a plain reason for the reject file."""


class AnswerChoices(list[Any]):
    """Answer choices, counted from 0: Python's own -1, the last, would answer the label -1.

    That label means "unlabelled" in many published test splits.
    """

    def __getitem__(self, number: Any) -> Any:
        """The choice of a number, or a slice."""
        if isinstance(number, int) and number < 0:
            raise RenderError(f"no answer choice has the number {number}")
        return super().__getitem__(number)


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox, with text methods and arithmetic narrowed further."""

    intercepted_binops = frozenset(["*", "**", "%"])

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Say whether a template may read `obj.attr`."""
        if isinstance(obj, str) and attr not in TEXT_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Leave `str.format` to `is_safe_attribute`, which refuses it: it pads to any width."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Evaluate `*` and `%` on plain numbers only, and `**` never."""
        if operator == "**" or not all(isinstance(v, int | float) for v in (left, right)):
            raise SecurityError(f"the operator {operator} is not allowed here")
        return super().call_binop(context, operator, left, right)


def bounded_range(*bounds: int) -> range:
    """`range` for templates, of at most `MAX_RANGE` steps."""
    steps = range(*bounds)
    if len(steps) > MAX_RANGE:
        raise SecurityError(f"range() of more than {MAX_RANGE} steps is not allowed here")
    return steps


@pass_context
def choice(context: Context, options: Sequence[object]) -> object:
    """Promptsource's `choice` filter, drawn by a hash of the record in place of a random number.

    Only the fields named by `DRAWN_FROM` are hashed: the target is not among them, so that a
    prompt reads the same in training and in service, and its completion draws alike.
    """
    names: Sequence[str] = context.get(DRAWN_FROM, ())
    record = [(name, context.get(name)) for name in names]
    seed = json.dumps([record, list(options)], default=str)
    draw = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    return options[draw % len(options)]


def _environment() -> PromptEnvironment:
    environment = PromptEnvironment(undefined=StrictUndefined, autoescape=False, cache_size=0)
    environment.globals.clear()
    environment.globals.update(
        range=bounded_range, zip=zip, enumerate=enumerate, namespace=Namespace
    )
    # multimode is what promptsource's most_frequent computes: every value of the highest count.
    environment.filters.update(
        choice=choice, most_frequent=multimode, answer_choices=AnswerChoices, **FILTERS
    )
    for name in REFUSED_FILTERS:
        del environment.filters[name]
    return environment


ENVIRONMENT = _environment()


@lru_cache(maxsize=4096)
def compile_template(source: str) -> Template:
    """Compile a template once per process.

    Raises:
        jinja2.TemplateSyntaxError: It does not parse.
    """
    return ENVIRONMENT.from_string(source)


def fields_used(source: str) -> frozenset[str]:
    """The names that a template looks up in the record.

    Raises:
        jinja2.TemplateSyntaxError: It does not parse.
    """
    return frozenset(find_undeclared_variables(ENVIRONMENT.parse(source)))


def render_text(source: str, fields: Mapping[str, object]) -> str:
    """Render one template.

    Args:
        source: Jinja text.
        fields: What the template may look up.

    Returns:
        The text, with line ends as LF and no white space at either end.

    Raises:
        RenderError: A field is missing, or the template does what it may not or cannot do.
    """
    render: Callable[[Mapping[str, object]], str] = compile_template(source).render
    try:
        text = render(fields)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise RenderError(_reason(error)) from error
    except RecursionError as error:
        raise RenderError("the template calls itself without end") from error
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _reason(error: Exception) -> str:
    missing = re.fullmatch(r"'(\w+)' is undefined", str(error))
    if missing:
        return f"the field '{missing[1]}' is missing"
    if isinstance(error, SecurityError):
        return f"not allowed in a template: {error}"
    return f"the template fails on this record: {error}"
