"""Answers a file of rows into another file; the same command resumes an interrupted one.

    in   {"dialogue": "Ana: Lunch at one? ..."}     or  {"prompt": "Summarize: Ana: ..."}
    out  {"dialogue": "Ana: Lunch at one? ...", "completion": "Ana and Bo meet at one."}

A row that can't be answered is kept too, with `error` in place of `completion`. Until the end the
answers lie in `<out>.partial`, whose first line says what they are of.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.errors import BadData, BadInput, BadWorkspace
from tasks.stage import digest_of_file

CHUNK = 64
"""Rows that are answered together, and lost at most when the command is killed."""

Row = Mapping[str, Any]
Answer = Callable[[Sequence[Row]], list[str]]


@dataclass(frozen=True)
class Done:
    """The outcome of a file: rows in all, those with an error, and those that were there before."""

    rows: int
    errors: int
    resumed: int


def answer_file(
    source: Path, out: Path, of: str, answer: Answer, on_rows: Callable[[int, int], None]
) -> Done:
    """Answer every row of a file.

    Args:
        source: JSON lines: records, or ready instructions in the field `prompt`.
        out: Where the answers go; it is there when all are.
        of: What answers (`support-summarizer/3`): another one starts anew.
        answer: Answers rows.
        on_rows: Called with the number of rows done and of all.

    Raises:
        BadData: A line of the source is no JSON object.
        BadInput: The answers can't go there, or would replace the source.
        BadWorkspace: The file can't be written.
    """
    partial = out.with_name(f"{out.name}.partial")
    try:
        rows = list(_rows(source))
        _check_place(out, source)
        head = json.dumps({"model": of, "source_sha256": digest_of_file(source)})
        num_done, errors = _taken_up(partial, head)
        resumed = num_done
        with partial.open("a", encoding="utf-8") as file:
            rest = iter(rows[num_done:])
            while chunk := list(islice(rest, CHUNK)):
                answered = list(_answered(chunk, answer))
                errors += sum("error" in row for row in answered)
                file.writelines(_line(row) for row in answered)
                file.flush()
                os.fsync(file.fileno())
                num_done += len(chunk)
                on_rows(num_done, len(rows))
        _finish(partial, out)
    except OSError as error:
        raise BadWorkspace.behind(error, out.parent) or error from None
    return Done(len(rows), errors, resumed)


def _rows(source: Path) -> Iterator[Row]:
    if not source.is_file():
        raise BadData(str(source), "a file of JSON lines", "no such file")
    with source.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except ValueError as error:
                raise BadData(f"{source}:{number}", "a JSON object", str(error)) from None
            if not isinstance(row, dict):
                raise BadData(f"{source}:{number}", "a JSON object", type(row).__name__)
            yield row


def _check_place(out: Path, source: Path) -> None:
    if not out.parent.is_dir():
        raise BadInput(str(out), "a file in a folder that exists", f"no folder {out.parent}")
    if out.is_dir():
        raise BadInput(str(out), "a file", "a folder")
    if out.exists() and out.samefile(source):
        found = "the file of the rows, which they would replace"
        raise BadInput(str(out), "a file of its own for the answers", found, "name another one")


def _answered(chunk: Sequence[Row], answer: Answer) -> Iterator[Row]:
    try:
        completions = answer(chunk)
    except BadInput as error:
        if len(chunk) == 1:
            issue = error.issues[0]
            reason = f"expected {issue.expected}, found {issue.found}"
            yield {**_without_ours(chunk[0]), "error": reason}
            return
        for row in chunk:  # which of them it was
            yield from _answered([row], answer)
        return
    for row, completion in zip(chunk, completions, strict=True):
        yield {**_without_ours(row), "completion": completion}


def _without_ours(row: Row) -> Row:
    """A row less what says how it went, which it may have from training or an earlier file."""
    return {name: value for name, value in row.items() if name not in ("completion", "error")}


def _taken_up(partial: Path, head: str) -> tuple[int, int]:
    """Start the file or cut off a half-written line; returns rows and errors that it has."""
    content = partial.read_bytes() if partial.exists() else b""
    whole, _, half = content.rpartition(b"\n")
    lines = whole.split(b"\n")
    if lines[0].decode(errors="replace") != head:
        partial.write_text(f"{head}\n", encoding="utf-8")
        return 0, 0
    if half:
        os.truncate(partial, len(content) - len(half))
    return len(lines) - 1, sum("error" in json.loads(line) for line in lines[1:])


def _finish(partial: Path, out: Path) -> None:
    """Take the first line off and put the file in its place."""
    whole = out.with_name(f".{out.name}.whole")
    with partial.open(encoding="utf-8") as lines, whole.open("w", encoding="utf-8") as file:
        next(lines)
        file.writelines(lines)
    os.replace(whole, out)
    partial.unlink()


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
