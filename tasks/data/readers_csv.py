"""Read CSV and TSV, strictly: a row with another number of cells than the header is unreadable.

A row of `text,label` is `{"text": "The zip broke.", "label": "negative"}`; without a header the
columns are called "0", "1", ...

CSV (RFC 4180): cells may be quoted, with doubled quotes and line breaks inside. A first line with
semicolons and no comma (but in quotes) means that semicolons separate, as spreadsheets write it in
many countries - unless that line is no header, and nothing but the first column is asked for: it
may be a text with a semicolon in it. What a first line `sep=;` says, separates; spreadsheets write
it for each other.
TSV (IANA text/tab-separated-values): quote characters are ordinary text - unless every quote in
the first megabyte belongs to a cell that is quoted as in CSV, as spreadsheets write it.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tasks.data.readers_rows import Rows, Unreadable, check_names
from tasks.data.readers_text import open_text
from tasks.errors import BadData

_SAMPLE_CHARACTERS = 1_000_000
_MAX_CELL_CHARACTERS = 10_000_000
_QUOTED_TSV = re.compile(r'(?:(?:"(?:[^"]|"")*+"|[^"\t\r\n]*+)(?:\t|\r?\n|\Z))*+')
_QUOTED = re.compile(r'"[^"]*"')
_SEPARATOR = re.compile(r'"?sep=([;,|\t])"?\r?\n?')
_OPEN_CELL = re.compile(r'"(?:[^"]|"")*+')

Cells = Iterator[tuple[int, list[str] | Unreadable]]


def read_csv(path: Path, encoding: str, header: bool, semicolons: bool) -> Rows:
    """Read comma- or semicolon-separated cells.

    Args:
        path: The file.
        encoding: Character encoding.
        header: Whether the first line names the columns.
        semicolons: Whether they may separate.

    Raises:
        BadData: The file cannot be read as text, a quote is never closed, or two columns have
            the same name.
    """
    with open_text(path, encoding, newline="") as text:
        first = text.readline()
    with open_text(path, encoding, newline="") as text:
        names = _QUOTED.sub("", first)
        delimiter = ";" if semicolons and ";" in names and "," not in names else ","
        told = _SEPARATOR.fullmatch(first)
        cells = _quoted_cells(path, text, told[1] if told else delimiter)
        if told:
            next(cells)
        yield from _rows(path, cells, header)


def read_tsv(path: Path, encoding: str, header: bool) -> Rows:
    """Read tab-separated cells.

    Raises:
        BadData: As for CSV.
    """
    with open_text(path, encoding, newline="") as text:
        sample = text.read(_SAMPLE_CHARACTERS)
    if _has_csv_quotes(sample):
        with open_text(path, encoding, newline="") as text:
            yield from _rows(path, _quoted_cells(path, text, "\t"), header)
    else:
        with open_text(path, encoding, newline="\n") as text:
            lines = ((number, line.rstrip("\r\n")) for number, line in enumerate(text, 1))
            cells: Cells = ((number, line.split("\t")) for number, line in lines if line)
            yield from _rows(path, cells, header)


def _has_csv_quotes(sample: str) -> bool:
    """Whether there are quotes, and all of them around whole cells or doubled within these."""
    match = _QUOTED_TSV.match(sample)
    assert match is not None  # the pattern matches nothing, too
    rest = sample[match.end() :]
    is_cut = len(sample) == _SAMPLE_CHARACTERS and bool(_OPEN_CELL.fullmatch(rest))
    return '"' in sample and (not rest or is_cut)


def _quoted_cells(path: Path, text: TextIO, delimiter: str) -> Cells:
    # The limit is the process's; Python's own (131,072) is too low for long documents.
    csv.field_size_limit(_MAX_CELL_CHARACTERS)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                mend = "close the quote, or double a quote that is part of the text"
                found = "a quote that is opened and never closed"
                raise BadData(f"{path}:{line}", "quoted cells", found, mend) from None
            if "field limit" in str(error):
                expected = f"cells of at most {_MAX_CELL_CHARACTERS:,} characters"
                mend = "shorten it, or close the quote that it starts with"
                raise BadData(f"{path}:{line}", expected, "a longer one", mend) from None
            yield line, Unreadable(f"not CSV: {error}", "")
        else:
            if cells:
                yield line, cells
        line = reader.line_num + 1


def _rows(path: Path, cells: Cells, header: bool) -> Rows:
    """Rows by column name; the first line names the columns or sets their number."""
    names: list[str] = []
    for line, row in cells:
        if isinstance(row, Unreadable):
            if not names:
                raise BadData(f"{path}:{line}", "a first line of cells", row.reason)
            yield line, row
        elif not names and header:
            names = _column_names(path, line, row)
        else:
            names = names or [str(number) for number in range(len(row))]
            yield line, _named(names, row)


def _named(names: list[str], row: list[str]) -> dict[str, str] | Unreadable:
    if len(row) == len(names):
        return dict(zip(names, row, strict=True))
    return Unreadable(f"{len(row)} cells where the first line has {len(names)}", " | ".join(row))


def _column_names(path: Path, line: int, row: list[str]) -> list[str]:
    names = [name.strip() for name in row]
    check_names(f"{path}:{line}", names)
    return names
