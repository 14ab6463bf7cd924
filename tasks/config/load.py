"""The only reader of recipes: YAML and `--set` overrides in, a `Recipe` or every issue out.

load_recipe(Path("configs/recipes/support_chat.yaml"), ["train.epochs=1"])
"""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tasks.config.recipe import Recipe
from tasks.config.section import Section, section_in
from tasks.errors import BadRecipe, Issue

Location = tuple[int | str, ...]


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        path: The YAML file.
        overrides: `dotted.key=value` each, the value in YAML; list items by number
            (`tasks.0.source.path=data.jsonl`).

    Raises:
        BadRecipe: With every issue that was found, each with its file and line.
    """
    path = Path(path)
    content = _read_yaml(path)
    for override in overrides:
        _apply(content, override)
    try:
        # Through JSON, because strict validation takes lists for tuples in that mode only.
        as_json = json.dumps(content, default=str)
    except (TypeError, ValueError) as error:
        raise BadRecipe(str(path), "plain keys and values", str(error)) from None
    try:
        return Recipe.model_validate_json(as_json)
    except ValidationError as error:
        raise BadRecipe.all_of(_issues(path, content, error.errors())) from None


def _read_yaml(path: Path) -> CommentedMap:
    try:
        content = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadRecipe(str(path), "a recipe (YAML)", "no such file", _nearby(path)) from None
    except IsADirectoryError:
        raise BadRecipe(str(path), "a recipe (YAML)", "a folder", _nearby(path / "x")) from None
    except OSError as error:
        raise BadRecipe(str(path), "a recipe (YAML)", error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        found = f"a byte that is not UTF-8 at position {error.start}"
        raise BadRecipe(str(path), "text in UTF-8", found, "save the file as UTF-8") from None
    except YAMLError as error:
        raise _bad_yaml(path, error) from None
    if not isinstance(content, CommentedMap):
        found = "nothing" if content is None else type(content).__name__
        raise BadRecipe(str(path), "keys and values (`name: ...`)", found)
    return content


def _bad_yaml(path: Path, error: YAMLError) -> BadRecipe:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    where = f"{path}:{mark.line + 1}" if mark else str(path)
    problem = error.problem if isinstance(error, MarkedYAMLError) else str(error)
    return BadRecipe(where, "valid YAML", str(problem), "mend the line")


def _nearby(path: Path) -> str:
    others = sorted(str(other) for other in path.parent.glob("*.yaml"))
    close = difflib.get_close_matches(str(path), others, n=3) or others[:3]
    return f"try {', '.join(close)}" if close else ""


def _apply(content: CommentedMap, override: str) -> None:
    key, equals, text = override.partition("=")
    where = f"--set {override}"
    if not equals or not key:
        raise BadRecipe(where, "dotted.key=value", override, "such as --set train.epochs=1")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        raise BadRecipe(where, "a value in YAML", text, "quote it") from None
    node: Any = content
    *parents, last = key.split(".")
    for part in parents:
        node = _child(node, part, where)
    _put(node, last, value, where)


def _child(node: Any, part: str, where: str) -> Any:
    if isinstance(node, CommentedSeq):
        return node[_position(node, part, where)]
    if isinstance(node, CommentedMap):
        if node.get(part) is None:
            node[part] = CommentedMap()
        return node[part]
    raise BadRecipe(where, "a key that has parts of its own", f"{part!r} below a plain value")


def _put(node: Any, part: str, value: Any, where: str) -> None:
    if isinstance(node, CommentedSeq):
        node[_position(node, part, where)] = value
    elif isinstance(node, CommentedMap):
        node[part] = value
    else:
        raise BadRecipe(where, "a key that has parts of its own", f"{part!r} below a plain value")


def _position(node: CommentedSeq, part: str, where: str) -> int:
    if part.isdigit() and int(part) < len(node):
        return int(part)
    raise BadRecipe(where, f"a list position from 0 to {len(node) - 1}", part)


def _issues(path: Path, content: CommentedMap, details: list[ErrorDetails]) -> list[Issue]:
    """One issue per detail, less those that only follow from a deeper one.

    A list is "too short" when its only item is invalid, for example.
    """
    locations = [detail["loc"] for detail in details]
    return [
        _issue(path, content, detail)
        for detail in details
        if not any(
            len(other) > len(detail["loc"]) and other[: len(detail["loc"])] == detail["loc"]
            for other in locations
        )
    ]


def _issue(path: Path, content: CommentedMap, detail: ErrorDetails) -> Issue:
    """What pydantic found, in the words of the file that it stands in."""
    location = detail["loc"]
    key = ".".join(map(str, location)) or "(the recipe)"
    where = f"{path}:{_line(content, location)}: {key}"
    if detail["type"] == "extra_forbidden":
        return _unknown_key(where, location)
    if detail["type"] == "missing":
        return Issue(where, _described(location), "nothing", f"add `{location[-1]}`")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    found = (
        "a combination that cannot be" if detail["type"] == "value_error" else repr(detail["input"])
    )
    return Issue(where, message.removeprefix("expected "), found, _described(location))


def _line(content: Any, location: Location) -> int:
    """The line, from 1, of the deepest part of `location` that is in the file."""
    line = 1
    for part in location:
        if not _has(content, part):
            break
        line = (content.lc.data or {}).get(part, (line - 1,))[0] + 1
        content = content[part]
    return line


def _has(content: Any, part: int | str) -> bool:
    if isinstance(content, CommentedSeq):
        return isinstance(part, int) and part < len(content)
    return isinstance(content, CommentedMap) and part in content


def _unknown_key(where: str, location: Location) -> Issue:
    section = _section_at(location[:-1])
    known = list(section.model_fields) if section else []
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    mend = f"did you mean `{close[0]}`?" if close else "remove it"
    return Issue(where, f"one of {', '.join(known)}", f"`{location[-1]}`", mend)


def _described(location: Location) -> str:
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
