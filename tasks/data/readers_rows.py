"""What every reader yields: the place of a row in its file, and the row.

    (7, {"dialogue": "Ana: Lunch at one?", "summary": "Ana proposes lunch."})
    (8, Unreadable("not JSON: Expecting value at column 12", '{"dialogue": }'))

The place is the line on which the row starts, from 1; in binary tables the number of the row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


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
