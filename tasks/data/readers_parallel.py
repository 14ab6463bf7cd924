"""Read line-aligned text files: line n of one file belongs to line n of the others.

train.java  public int size() {return count;}
train.cs    public int Size(){return count;}
->  {"source": "public int size() {return count;}", "target": "public int Size(){return count;}"}
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

from tasks.data.readers_rows import Rows
from tasks.data.readers_text import open_text
from tasks.errors import BadData


def read_parallel(path: Path, others: Mapping[str, Path], encoding: str) -> Rows:
    """Read the lines of `path` as the field `source`, those of the others as theirs.

    Args:
        path: A text file.
        others: Field -> text file with as many lines.
        encoding: Character encoding of all.

    Raises:
        BadData: The files differ in their number of lines, or one cannot be read as text.
    """
    files = {"source": path, **others}
    _check_lengths(files, encoding)
    with ExitStack() as stack:
        texts = [stack.enter_context(_lines(file, encoding)) for file in files.values()]
        for number, lines in enumerate(zip_longest(*texts), 1):
            yield number, dict(zip(files, lines, strict=True))


def _check_lengths(files: Mapping[str, Path], encoding: str) -> None:
    """Before any row is used: of files that differ in length, no pair can be trusted."""
    counts: dict[Path, int] = {}
    for file in files.values():
        with _lines(file, encoding) as text:
            counts[file] = sum(1 for _ in text)
    if len(set(counts.values())) > 1:
        found = "; ".join(f"{count} in {file}" for file, count in counts.items())
        where = str(files["source"])
        raise BadData(where, "files with the same number of lines", found, "align them again")


def _lines(path: Path, encoding: str) -> AbstractContextManager[TextIO]:
    return open_text(path, encoding, newline="\n")
