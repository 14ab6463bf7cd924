"""What every reader yields: the place of a row in its file, and the row.

    (7, {"dialogue": "Ana: Lunch at one?", "summary": "Ana proposes lunch."})
    (8, Unreadable("not JSON: Expecting value at column 12", '{"dialogue": }'))

The place is the line on which the row starts, from 1; in binary tables the number of the row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from tasks.errors import BadData


@dataclass(frozen=True)
class Unreadable:
    """A row that cannot be parsed.

    Attributes:
        reason: Why not.
        text: The row as written.
    """

    reason: str
    text: str


Row = tuple[int, dict[str, Any] | Unreadable]
Rows = Iterator[Row]

_HEAD_ROWS = 100
_MAX_DEPTH = 8


def with_columns(rows: Rows) -> tuple[list[str], Rows]:
    """The columns of the first rows, and all of the rows.

    Rows of JSON may lack a key: a column counts as missing where none of the first rows has it.
    The fields of nested objects are columns too, after the others: `answers.text`.
    """
    head = list(islice(rows, _HEAD_ROWS))
    first = [row for _, row in head if isinstance(row, dict)]
    columns = [name for row in first for name in row]
    nested = [path for row in first for path in _nested(row, _MAX_DEPTH)]
    return list(dict.fromkeys(columns + nested)), chain(head, rows)


def cell(row: Any, column: str) -> Any:
    """What a row has in a column; None where it has nothing there.

    Args:
        row: Column -> value; of a list of objects, what each of them has.
        column: A name, or the path of a nested field. A column of that very name goes first.
    """
    if isinstance(row, list):
        return [cell(item, column) for item in row]
    if not isinstance(row, dict):
        return None
    if column in row:
        return row[column]
    name, _, path = column.partition(".")
    return cell(row.get(name), path) if path else None


def _nested(row: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, value in row.items():
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict) and depth:
            yield from (f"{name}.{path}" for path in (*inner, *_nested(inner, depth - 1)))


def check_names(where: str, names: Sequence[str]) -> None:
    """Check that no two columns have the same name: a row would keep one of their values.

    Args:
        where: For the message.
        names: Of the columns; without a name there may be several.

    Raises:
        BadData: With the first name that stands twice.
    """
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise BadData(where, "columns with names of their own", f"'{twice}' twice", "rename one")
