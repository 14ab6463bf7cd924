"""What every reader yields: the place of a row in its file, and the row.

    (7, {"dialogue": "Ana: Lunch at one?", "summary": "Ana proposes lunch."})
    (8, Unreadable("not JSON: Expecting value at column 12", '{"dialogue": }'))

The place is the line on which the row starts, from 1; in binary tables the number of the row.
"""

from collections.abc import Iterator, Sequence
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


def with_columns(rows: Rows) -> tuple[list[str], Rows]:
    """The columns of the first rows, and all of the rows.

    Rows of JSON may lack a key: a column counts as missing where none of the first rows has it.
    """
    head = list(islice(rows, _HEAD_ROWS))
    columns = dict.fromkeys(name for _, row in head if isinstance(row, dict) for name in row)
    return list(columns), chain(head, rows)


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
