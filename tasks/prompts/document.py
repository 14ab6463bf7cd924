"""A YAML document that knows the line of everything in it, so that an issue can name it.

review.yaml:12 (templates[1].prompt)
  expected  only text
  found     the unknown slot 'txet'
  mend      did you mean 'text'?
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tasks.config.load import QUOTE
from tasks.errors import BadPrompt, Issue

Loc = tuple[int | str, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A parsed file.

    Attributes:
        path: Where it was read.
        content: The top-level mapping.
        root: The same as YAML nodes, which carry the lines.
    """

    path: Path
    content: dict[str, Any]
    root: yaml.Node

    @classmethod
    def read(cls, path: Path, yaml_tags: Sequence[str]) -> "Document":
        """Read a file safely: plain values only, whatever its tags ask for.

        Args:
            path: A UTF-8 file whose top level is a mapping.
            yaml_tags: Tags to read as plain mappings, e.g. "!Template"; any other is refused.

        Raises:
            BadPrompt: Not readable, not YAML, a foreign tag, not a mapping, or keys given twice.
        """
        loader = _loader(yaml_tags)
        try:
            text = path.read_text(encoding="utf-8")
            root = yaml.compose(text, Loader=loader)
            content = yaml.load(text, Loader=loader)
        except (OSError, UnicodeDecodeError) as error:
            raise BadPrompt(str(path), "a readable file in UTF-8", str(error)) from error
        except yaml.YAMLError as error:
            raise _not_yaml(path, error) from error
        except ValueError as error:  # of a date such as 2024-13-45
            raise BadPrompt(str(path), "YAML", str(error), QUOTE) from error
        if not isinstance(content, dict) or root is None:
            raise BadPrompt(str(path), "a YAML mapping", type(content).__name__)
        document = cls(path, content, root)
        twice = [
            Issue(f"{path}:{line}", "each key once", f"'{key}' again")
            for key, line in _repeated(root)
        ]
        if twice:
            raise BadPrompt.all_of(twice)
        return document

    def where(self, loc: Loc, line: int = 0) -> str:
        """Name a place: `file:line (dotted.key)`.

        Args:
            loc: Keys and indices from the top; where one does not exist, its parent's line counts.
            line: Line within the text at `loc`, from 1; 0 for the entry itself.
        """
        node = self.root
        for step in loc:
            found = _child(node, step)
            if found is None:
                break
            node = found
        number = node.start_mark.line + 1
        if line:
            # The text of a block scalar starts on the line below its "|".
            block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
            number += line if block else line - 1
        dotted = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in loc).lstrip(".")
        return f"{self.path}:{number} ({dotted})" if dotted else f"{self.path}:{number}"

    def issue(self, loc: Loc, expected: str, found: str, mend: str = "") -> Issue:
        """An issue at a place of this file."""
        return Issue(self.where(loc), expected, found, mend)

    def shown(self, key: str) -> str:
        """What stands at a top-level key, for a message."""
        return _shown(self.content[key]) if key in self.content else "nothing"

    def validated(
        self,
        model: type[Model],
        loc: Loc,
        without: str | None = None,
        known: Sequence[str] | None = None,
        stand_ins: Mapping[str, object] = MappingProxyType({}),
    ) -> tuple[Model | None, list[Issue]]:
        """Validate the mapping at a place.

        Args:
            model: A pydantic model.
            loc: The place, keys and indices from the top.
            without: A key of the mapping to leave aside.
            known: The keys to suggest for an unknown one; by default the model's.
            stand_ins: Values to go on with where those of the file are bad, so that the rest of
                the file can be checked as well.

        Returns:
            The model, or None where too much of it is bad, and every issue.
        """
        value: Any = self.content
        for step in loc:
            value = value[step]
        if isinstance(value, dict):
            value = {key: item for key, item in value.items() if key != without}
        try:
            return model.model_validate(value), []
        except ValidationError as error:
            keys = known or tuple(model.model_fields)
            details = error.errors(include_url=False)
            issues = [self._explained(loc, detail, keys) for detail in details]
        if not isinstance(value, dict):
            return None, issues
        bad = {detail["loc"][0] for detail in details}
        rest = {key: item for key, item in value.items() if key not in bad}
        rest |= {key: item for key, item in stand_ins.items() if key in bad}
        try:
            return model.model_validate(rest), issues
        except ValidationError:
            return None, issues

    def _explained(self, loc: Loc, detail: ErrorDetails, known: Sequence[str]) -> Issue:
        place = (*loc, *detail["loc"])
        if detail["type"] == "extra_forbidden":
            key = str(detail["loc"][-1])
            close = get_close_matches(key, known, n=1)
            mend = f"did you mean '{close[0]}'?" if close else "take it out"
            return self.issue(
                place, f"one of: {', '.join(known)}", f"the unknown key '{key}'", mend
            )
        if detail["type"] == "missing":
            return self.issue(place, f"the key '{detail['loc'][-1]}'", "nothing")
        expected, mend = _expected(detail)
        return self.issue(place, expected, _shown(detail["input"]), mend)


def _expected(detail: ErrorDetails) -> tuple[str, str]:
    """What a pydantic issue wanted, and how to mend it."""
    kind, value = detail["type"], detail["input"]
    if kind in ("model_type", "dict_type"):
        return "a mapping", ""
    if kind in ("string_pattern_mismatch", "string_too_short"):
        if not str(value).strip():
            return "some text", ""
        return "a name of letters, digits and underscores, not starting with a digit", ""
    if kind == "string_type":
        quotable = not isinstance(value, list | dict | None)
        return "a string", "put it in quotes" if quotable else ""
    expected = detail["msg"].removeprefix("Input should be ")
    close: list[str] = []
    if kind == "literal_error":
        close = get_close_matches(str(value), re.findall(r"'(\w+)'", expected), n=1)
    return expected, f"did you mean '{close[0]}'?" if close else ""


def _loader(tags: Sequence[str]) -> type[yaml.SafeLoader]:
    class Loader(yaml.SafeLoader):
        """A safe loader that reads the given tags as plain mappings."""

    def mapping(loader: yaml.SafeLoader, node: yaml.Node) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.tag} is not a mapping", node.start_mark
            )
        return loader.construct_mapping(node, deep=True)

    for tag in tags:
        Loader.add_constructor(tag, mapping)
    return Loader


def _not_yaml(path: Path, error: yaml.YAMLError) -> BadPrompt:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}:{mark.line + 1}" if mark else str(path)
    found = str(getattr(error, "problem", None) or error)
    if isinstance(error, yaml.constructor.ConstructorError):
        return BadPrompt(where, "plain values", found, "take the tag out")
    return BadPrompt(where, "YAML", found)


def _repeated(node: yaml.Node) -> Iterator[tuple[str, int]]:
    """Keys given twice in one mapping, which YAML loaders silently overwrite, and their lines."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated(item)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                yield str(key.value), key.start_mark.line + 1
            seen.add(str(key.value))
            yield from _repeated(value)


def _child(node: yaml.Node, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step] if step < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
