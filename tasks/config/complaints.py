"""What is wrong with a recipe, in its user's words instead of pydantic's.

recipe.yaml:8: train.lr
  expected  one of method, lora, ..., learning_rate, ...
  found     `lr`
  mend      here that is `train.learning_rate`
"""

import difflib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, get_origin

from pydantic_core import ErrorDetails

from tasks.config.names import OTHER_NAMES
from tasks.config.recipe import Recipe
from tasks.config.section import Section, section_in
from tasks.errors import Issue

Location = tuple[int | str, ...]

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "model_type": "keys and values",
    "dict_type": "keys and values",
    "tuple_type": "a list",
    "too_short": "at least {min_length} in the list",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "lower-case letters, digits, - and _, a letter or digit first",
}
"""Kind of an error -> what should have been there; of other kinds pydantic's own words will do."""

MOST_SHOWN = 100
"""Characters of a value: what is longer stands in the recipe."""


def complaint(where: str, location: Location, detail: ErrorDetails) -> Issue:
    """What pydantic found.

    Args:
        where: The place in the file, with its key.
        location: Keys and list positions that lead there.
        detail: The error.
    """
    if detail["type"] == "extra_forbidden":
        return _unknown_key(where, location, detail)
    if detail["type"] == "missing":
        return Issue(where, described(location), "nothing", f"add `{location[-1]}`")
    told = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    expected = EXPECTED.get(detail["type"], told.removeprefix("expected "))
    mend = _near_miss(location, detail) if location else ""
    if not mend and not isinstance(detail["input"], dict):  # what a section is for mends nothing
        mend = described(location)
    return Issue(
        where,
        expected.format(**detail["ctx"]) if "{" in expected else expected,
        _shown(detail),
        mend,
    )


def _unknown_key(where: str, location: Location, detail: ErrorDetails) -> Issue:
    section, key = _section_at(location[:-1]), str(location[-1])
    known = list(section.model_fields) if section else []
    return Issue(
        where, f"one of {', '.join(known)}", f"`{key}`", _meant(location, known, detail["input"])
    )


def _meant(location: Location, known: list[str], value: Any) -> str:
    """The key that was meant: a misspelt one, another tool's, or one of another section."""
    key, here = str(location[-1]), ".".join(map(str, location[:-1]))
    if close := difflib.get_close_matches(key, known, n=1, cutoff=0.75):
        return f"did you mean `{close[0]}`?"
    if other := OTHER_NAMES.get(key):
        return f"such as `{known[0]}`" if other == here else f"here that is `{other}`"
    places = [(path, field) for path, field in _places(Recipe) if path.rpartition(".")[2] == key]
    elsewhere = [path for path, inner in places if not inner or isinstance(value, dict | list)]
    if elsewhere:
        nearest = sorted(elsewhere, key=lambda path: path.count("."))[:2]
        return f"it belongs elsewhere: {' or '.join(f'`{path}`' for path in nearest)}"
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean `{close[0]}`?" if close else "remove it"


def _places(section: type[Section], above: str = "") -> Iterator[tuple[str, bool]]:
    """Every key of a recipe, as `--set` takes it, and whether it is a section."""
    for name, field in section.model_fields.items():
        inner = section_in(field.annotation)
        yield above + name, inner is not None
        if inner:
            first = "0." if get_origin(field.annotation) is tuple else ""
            yield from _places(inner, f"{above}{name}.{first}")


def _near_miss(location: Location, detail: ErrorDetails) -> str:
    """How to write what was meant; empty where that can't be guessed."""
    kind, value = detail["type"], detail["input"]
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        close = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.5)
        return f"did you mean `{close[0]}`?" if close else ""
    if kind == "string_pattern_mismatch":
        name = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
        return f"such as {name}" if name else ""
    if kind == "tuple_type":
        return f"write `{location[-1]}: [{value}]`" if isinstance(value, str) else "begin with `- `"
    if kind == "model_type" and isinstance(value, str) and (section := _section_at(location)):
        first = next(iter(section.model_fields))
        hub = f" or `{{hub: {value}, revision: COMMIT}}`" if "hub" in section.model_fields else ""
        return f"such as `{location[-1]}: {{{first}: {value}}}`{hub}"
    if kind == "string_type" and type(value) in (int, float):
        return "write it in quotes"
    if isinstance(value, str) and kind.startswith(("int", "float")):
        return _number(value)
    return ""


def _number(text: str) -> str:
    """How to write a number that is quoted, or in per cent."""
    with suppress(ValueError):
        if text.endswith("%"):
            return f"write {float(text[:-1]) / 100:g}"
        float(text)
        return "write it without quotes"
    return ""


def _shown(detail: ErrorDetails) -> str:
    """What was there instead, as it would stand in YAML; of a combination the keys and numbers."""
    value = detail["input"]
    if detail["type"] == "value_error" and isinstance(value, dict):
        if not detail["loc"]:
            return "a combination that cannot be"
        told = (f"{k}: {v}" if isinstance(v, int | float) else str(k) for k, v in value.items())
        return f"the keys {', '.join(told)}" if value else "none"
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def described(location: Location) -> str:
    """The documentation of the field at `location`, on one line; empty where there is none."""
    section = _section_at(location[:-1])
    field = section.model_fields.get(str(location[-1])) if section and location else None
    return " ".join((field.description or "").split()) if field else ""


def _section_at(location: Location) -> type[Section] | None:
    """The section class that the path of keys and list positions leads to."""
    section: type[Section] | None = Recipe
    for part in location:
        if isinstance(part, int) or section is None:
            continue
        field = section.model_fields.get(part)
        section = section_in(field.annotation) if field else None
    return section
