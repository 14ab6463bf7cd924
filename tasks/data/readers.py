"""Read rows from a file of any known format; the name says which, unless the recipe does.

`read_rows(Path("reviews.csv.gz"), "csv", source)` yields, with the line each row starts on:

    (2, {"text": "The zip broke.", "label": "negative"})
"""

from pathlib import Path

from tasks.config import Source
from tasks.data.readers_conll import read_conll
from tasks.data.readers_csv import read_csv, read_tsv
from tasks.data.readers_instructions import read_instructions
from tasks.data.readers_json import is_jsonl, read_json, read_jsonl
from tasks.data.readers_plain import (
    read_document,
    read_lines,
    read_passages,
    read_tagged_lines,
)
from tasks.data.readers_rows import Row, Rows, Unreadable, with_columns
from tasks.data.readers_tables import read_arrow, read_parquet
from tasks.data.readers_text import COMPRESSIONS
from tasks.errors import BadData

__all__ = ["Row", "Rows", "Unreadable", "format_of", "named_format", "read_rows", "with_columns"]

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".conll": "conll",
}
"""End of a file's name -> its format."""

_PACKED = (".br", ".lz4", ".7z", ".rar")

TABLES = ("parquet", "arrow")
"""Formats that are compressed inside, and not text."""


def named_format(name: str, source: Source) -> str:
    """The format of a file by the recipe or, where it leaves that open, by the file's name.

    Args:
        name: The file's name, for messages as well.
        source: The recipe's `format`.

    Raises:
        BadData: A name that says nothing, or a compressed table.
    """
    packed = Path(name).suffix.lower() in COMPRESSIONS
    suffix = Path(Path(name).stem if packed else name).suffix
    found = FORMATS.get(suffix.lower(), "") if source.format == "auto" else source.format
    if not found:
        packings = ", ".join(COMPRESSIONS)
        expected = f"a known ending: {', '.join(FORMATS)} (behind those of text: {packings})"
        mend = (
            "choose others by a pattern (*.csv), rename it, save a spreadsheet as CSV, or say what "
            "it is: source.format: tsv (or lines), for example"
        )
        if suffix.lower() in _PACKED:
            mend = "unpack it, or pack it with gzip or zstd"
        raise BadData(name, expected, f"'{suffix}'", mend)
    if packed and found in TABLES:
        raise BadData(name, f"a {found} file", "a compressed one", "unpack it")
    return found


def format_of(path: Path, source: Source, name: str | None = None) -> str:
    """The format of a file, by its content too.

    Args:
        path: The file.
        source: The recipe's `format` and `encoding`. A `.json` file with an object on each line
            is JSONL, as many published ones are.
        name: The file's name, where the path does not say it.

    Raises:
        BadData: As for `named_format`, or the file cannot be read.
    """
    found = named_format(name or str(path), source)
    if source.format == "auto" and found == "json" and is_jsonl(path, source.encoding):
        return "jsonl"
    return found


def read_rows(path: Path, file_format: str, source: Source) -> Rows:
    """Read a file.

    Args:
        path: The file.
        file_format: As `format_of` says.
        source: Encoding, and what the format leaves open, such as `header`.

    Raises:
        BadData: The file as a whole cannot be read.
    """
    match file_format:
        case "jsonl":
            return read_jsonl(path, source.encoding)
        case "json":
            return read_json(path, source.encoding)
        case "csv":
            beside = (source.split_column or "0", source.group_column or "0")
            asked = {*source.columns.values(), *beside}
            semicolons = source.header or asked != {"0"}
            return read_csv(path, source.encoding, source.header, semicolons)
        case "tsv":
            return read_tsv(path, source.encoding, source.header)
        case "conll":
            return read_conll(path, source.encoding, source.token_column, source.tag_column)
        case "lines":
            return read_lines(path, source.encoding)
        case "documents":
            return read_document(path, source.encoding)
        case "passages":
            return read_passages(path, source.encoding, source.passage_words)
        case "tagged_lines":
            return read_tagged_lines(path, source.encoding)
        case "natural_instructions":
            return read_instructions(path, source.encoding)
        case "parquet":
            return read_parquet(path)
        case _:
            return read_arrow(path)
