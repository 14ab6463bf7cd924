"""Read JSON: one object per line (JSONL), an array of objects, or `{"data": [...]}`.

{"dialogue": "Ana: Lunch at one?\\nBo: See you there.", "summary": "Ana and Bo meet at one."}
"""

import json
import re
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
        return bool(text.read(1)) and isinstance(_parsed(first), dict)


def read_json(path: Path, encoding: str) -> Rows:
    """Read an array of objects, or the one under the key `data`.

    The text is held in memory, its objects are parsed one at a time.

    Raises:
        BadData: Not JSON as a whole, or no such array.
    """
    with open_text(path, encoding, newline="\n") as file:
        text = file.read()
    position = _array_start(path, text)
    counted, line = 0, 1
    while True:
        position = _skip(text, position)
        if text[position : position + 1] == "]":
            return
        line += text.count("\n", counted, position)
        counted = position
        value, position = _value(path, text, position)
        yield _row(line, value, text[counted:position])
        position = _skip(text, position)
        if text[position : position + 1] == ",":
            position += 1
        elif text[position : position + 1] != "]":
            raise _not_json(path, text, position, "expected ',' or ']'")


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
    """Position behind the `[` of the array of rows."""
    position = _skip(text, 0)
    if text[position : position + 1] == "[":
        return position + 1
    keys: list[str] = []
    if text[position : position + 1] == "{":
        position = _skip(text, position + 1)
        while text[position : position + 1] == '"':
            key, position = _value(path, text, position)
            position = _skip(text, position)
            if text[position : position + 1] != ":":
                raise _not_json(path, text, position, "expected ':'")
            position = _skip(text, position + 1)
            if key == "data" and text[position : position + 1] == "[":
                return position + 1
            keys.append(str(key))
            _, position = _value(path, text, position)
            position = _skip(text, position)
            if text[position : position + 1] == ",":
                position = _skip(text, position + 1)
    else:
        _value(path, text, position)
    found = f"an object with the keys {', '.join(keys[:10])}" if keys else "another value"
    expected = 'an array of objects, or {"data": [...]}'
    raise BadData(str(path), expected, found, "put the rows into such an array")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None  # the pattern matches nothing, too
    return match.end()


def _value(path: Path, text: str, position: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise _not_json(path, text, error.pos, error.msg) from None
    except (ValueError, RecursionError):
        problem = "nested too deeply, or a number too long"
        raise _not_json(path, text, position, problem) from None


def _not_json(path: Path, text: str, position: int, problem: str) -> BadData:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    mend = "mend the file; one object per line needs source.format: jsonl"
    return BadData(f"{path}:{line}", "JSON", f"{problem} at column {column}", mend)
