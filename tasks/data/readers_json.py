"""Read JSON: one object per line (JSONL), an array of objects, or `{"data": [...]}`.

{"dialogue": "Ana: Lunch at one?\\nBo: See you there.", "summary": "Ana and Bo meet at one."}
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tasks.data.readers_rows import Row, Rows, Unreadable
from tasks.data.readers_text import open_text
from tasks.errors import BadData

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_KINDS = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}


def read_jsonl(path: Path, encoding: str) -> Rows:
    """Read a file with one JSON object per line; empty lines are skipped.

    Raises:
        BadData: The file cannot be read as text.
    """
    with open_text(path, encoding, newline="\n") as text:
        for number, line in enumerate(text, 1):
            if not line.isspace():
                yield number, _parsed(line)


def is_jsonl(path: Path, encoding: str) -> bool:
    """Whether the first line is a whole JSON object and more follows, whatever the name says."""
    with open_text(path, encoding, newline="\n") as text:
        first = text.readline()
        is_more = any(not line.isspace() for line in text)
        return is_more and isinstance(_parsed(first), dict)


def read_json(path: Path, encoding: str) -> Rows:
    """Read an array of objects, or the one under the key `data`.

    The text is held in memory, its objects are parsed one at a time.

    Raises:
        BadData: Not JSON as a whole, or no such array.
    """
    with open_text(path, encoding, newline="\n") as file:
        text = file.read()
    for line, value, written in items_at(path, text, _array_start(path, text)):
        yield _row(line, value, written)


def items_at(path: Path, text: str, position: int) -> Iterator[tuple[int, object, str]]:
    """The items of a JSON array, parsed one at a time.

    Args:
        path: The file, for messages.
        text: What is in it.
        position: After the `[` of the array.

    Yields:
        Line on which the item starts, the item, and how it is written.

    Raises:
        BadData: Not JSON.
    """
    counted, line = 0, 1
    while True:
        position = _skip(text, position)
        if text[position : position + 1] == "]":
            _check_end(path, text, position + 1)
            return
        line += text.count("\n", counted, position)
        counted = position
        value, position = value_at(path, text, position)
        yield line, value, text[counted:position]
        position = _skip(text, position)
        if text[position : position + 1] == ",":
            position += 1
        elif text[position : position + 1] != "]":
            raise _not_json(path, text, position, "expected ',' or ']'")


def keys_of(path: Path, text: str) -> Iterator[tuple[str, int]]:
    """The keys of the JSON object that a text is, each with the position of its value.

    A value is parsed when the next key is asked for. There are no keys where the text is another
    value than an object.

    Raises:
        BadData: Not JSON.
    """
    position = _skip(text, 0)
    if text[position : position + 1] != "{":
        value_at(path, text, position)
        return
    position = _skip(text, position + 1)
    while text[position : position + 1] == '"':
        key, position = value_at(path, text, position)
        position = _skip(text, position)
        if text[position : position + 1] != ":":
            raise _not_json(path, text, position, "expected ':'")
        position = _skip(text, position + 1)
        yield str(key), position
        _, position = value_at(path, text, position)
        position = _skip(text, position)
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)


def value_at(path: Path, text: str, position: int) -> tuple[object, int]:
    """The JSON value at a position, and the position after it.

    Raises:
        BadData: Not JSON.
    """
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise _not_json(path, text, error.pos, error.msg) from None
    except (ValueError, RecursionError):
        problem = "nested too deeply, or a number too long"
        raise _not_json(path, text, position, problem) from None


def _parsed(line: str) -> dict[str, object] | Unreadable:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return Unreadable(f"not JSON: {error.msg} at column {error.colno}", line.rstrip("\r\n"))
    except (ValueError, RecursionError):
        return Unreadable("not JSON: nested too deeply, or a number too long", line.rstrip("\r\n"))
    return _row(0, value, line)[1]


def _row(line: int, value: object, text: str) -> Row:
    if isinstance(value, dict):
        return line, value
    kind = _KINDS.get(type(value), "null")
    return line, Unreadable(f"{kind} where a JSON object is expected", text.rstrip("\r\n"))


def _array_start(path: Path, text: str) -> int:
    """Position after the `[` of the array of rows."""
    position = _skip(text, 0)
    if text[position : position + 1] == "[":
        return position + 1
    keys: list[str] = []
    for key, position in keys_of(path, text):
        if key == "data" and text[position : position + 1] == "[":
            return position + 1
        keys.append(key)
    found = f"an object with the keys {', '.join(keys[:10])}" if keys else "another value"
    expected = 'an array of objects, or {"data": [...]}'
    mend = "put the rows into such an array, or set source.format: jsonl if a line is a row"
    if "Instances" in keys:
        mend = "set source.format: natural_instructions"
    raise BadData(str(path), expected, found, mend)


def _check_end(path: Path, text: str, position: int) -> None:
    """Fail where an array is followed by what would be left unread, such as a second array."""
    position = _skip(text, position)
    if text[_skip(text, 0)] == "{":
        if text[position : position + 1] == ",":
            return  # other keys of the object that the array stands in
        if text[position : position + 1] == "}":
            position = _skip(text, position + 1)
    if position < len(text):
        raise _not_json(path, text, position, "more behind the end of the array")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None  # the pattern matches nothing, too
    return match.end()


def _not_json(path: Path, text: str, position: int, problem: str) -> BadData:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    mend = "mend the file; one object per line needs source.format: jsonl"
    return BadData(f"{path}:{line}", "JSON", f"{problem} at column {column}", mend)
