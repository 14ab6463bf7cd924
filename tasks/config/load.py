"""The only reader of recipes: YAML and `--set` overrides in, a `Recipe` or every issue out.

load_recipe(Path("configs/recipes/support_chat.yaml"), ["train.epochs=1"])
"""

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tasks.config.complaints import Location, complaint
from tasks.config.recipe import Recipe
from tasks.errors import BadRecipe, Issue

OWN = Path("configs/recipes")
"""Where the project keeps its recipes."""

QUOTE = "put a text that looks like a date or a number into quotes"


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
        raise BadRecipe.all_of(_issues(path, content, overrides, error.errors())) from None


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
    except ValueError as error:  # of a date such as 2024-13-45
        raise BadRecipe(str(path), "valid YAML", str(error), QUOTE) from None
    if not isinstance(content, CommentedMap):
        kinds = {CommentedSeq: "a list", type(None): "nothing"}
        found = kinds.get(type(content), "text alone")
        raise BadRecipe(str(path), "keys and values (`name: ...`)", found)
    return content


def _bad_yaml(path: Path, error: YAMLError) -> BadRecipe:
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return BadRecipe(str(path), "valid YAML", str(error))
    line, found = error.problem_mark.line, str(error.problem)
    for prefix in ("but ", "found "):
        found = found.removeprefix(prefix)
    if error.context and error.context_mark and error.context_mark.line != line:
        found += f", {error.context} that begins on line {error.context_mark.line + 1}"
    mend = "indent by blanks instead of tabs" if r"'\t'" in found else ""
    return BadRecipe(f"{path}:{line + 1}", "valid YAML", found, mend)


def _nearby(path: Path) -> str:
    """Recipes of a like name, beside it or of the project; else any beside it."""
    beside = sorted(path.parent.glob("*.yaml"))
    named = {other.name: other for other in (*OWN.glob("*.yaml"), *beside)}
    close = difflib.get_close_matches(f"{path.name.removesuffix('.yaml')}.yaml", named, n=3)
    others = [named[name] for name in close] or beside[:3]
    return f"try {', '.join(map(str, others))}" if others else ""


def _apply(content: CommentedMap, override: str) -> None:
    _, equals, text = override.partition("=")
    key = _key_of(override)
    where = f"--set {override}"
    if not equals or not key:
        raise BadRecipe(where, "dotted.key=value", override, "such as --set train.epochs=1")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError):
        raise BadRecipe(where, "a value in YAML", text, "quote it") from None
    node: Any = content
    *parents, last = key.split(".")
    for part in parents:
        node = _child(node, part, where)
    _put(node, last, value, where)


def _key_of(override: str) -> str:
    """The dotted key that an override is for; `tasks[0].name` means `tasks.0.name`."""
    return re.sub(r"\[(\d+)\]", r".\1", override.partition("=")[0].strip())


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


def _issues(
    path: Path, content: CommentedMap, overrides: Sequence[str], details: list[ErrorDetails]
) -> list[Issue]:
    """One issue per place, less those that only follow from a deeper one.

    A list is "too short" when its only item is invalid, for example.
    """
    found: dict[Location, ErrorDetails] = {}
    for detail in details:
        found.setdefault(_in_file(content, detail), detail)
    return [
        complaint(_where(path, content, overrides, location), location, detail)
        for location, detail in found.items()
        if not any(
            len(other) > len(location) and other[: len(location)] == location for other in found
        )
    ]


def _in_file(content: Any, detail: ErrorDetails) -> Location:
    """The keys that lead to an error, less what pydantic puts between: the parts of a union."""
    location: Location = ()
    for part in detail["loc"]:
        if _has(content, part):
            content = content[part]
        elif detail["type"] != "missing":
            continue
        location += (part,)
    return location


def _where(path: Path, content: Any, overrides: Sequence[str], location: Location) -> str:
    """The place of an issue: a line of the file, or what was given in its stead."""
    key = ".".join(map(str, location))
    for override in reversed(overrides):
        given = _key_of(override)
        if key == given or key.startswith(f"{given}."):
            return f"--set {given}: {key}" if key != given else f"--set {given}"
    return f"{path}:{_line(content, location)}: {key or '(the recipe)'}"


def _line(content: Any, location: Location) -> int:
    """The line, from 1, of the deepest part of `location` that is in the file."""
    line = 1
    for part in location:
        if not _has(content, part):
            break
        if isinstance(content, CommentedMap | CommentedSeq):  # else it is from an override
            line = (content.lc.data or {}).get(part, (line - 1,))[0] + 1
        content = content[part]
    return line


def _has(content: Any, part: int | str) -> bool:
    if isinstance(content, list):
        return isinstance(part, int) and part < len(content)
    return isinstance(content, dict) and part in content
