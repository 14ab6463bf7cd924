"""Read plain text: a record a line, a record a file, or a record a passage; the field is `text`.

lines         The zip broke.                 ->  {"text": "The zip broke."}
documents     a file                         ->  {"text": "all of it"}
passages      a paragraph or more            ->  {"text": "The boat left.\\nNobody saw it go."}
tagged_lines  <Pros>Light &amp; cheap</Pros>  ->  {"text": "Light & cheap", "label": "Pros"}
"""

import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.data.readers_rows import Rows, Unreadable
from tasks.data.readers_text import open_text

_TAGGED = re.compile(r"<([A-Za-z][\w.-]*)>(.*)</\1>")

# Project Gutenberg has changed its marks over the years; until 2003 the fine print was the head.
_HEAD_ENDS = re.compile(r"\*\*\* ?START OF .*PROJECT GUTENBERG|\*END\*? ?THE SMALL PRINT")
_FOOT_BEGINS = re.compile(
    r"\*\*\* ?END OF .*PROJECT GUTENBERG|End of (the |this )?Project Gutenberg", re.IGNORECASE
)

Paragraph = tuple[int, str]
"""The number of its first line, and its text on one line."""


def read_lines(path: Path, encoding: str) -> Rows:
    """Read a record from each line; empty lines are skipped.

    Raises:
        BadData: The file cannot be read as text.
    """
    for number, line in _numbered_lines(path, encoding):
        if line.strip():
            yield number, {"text": line}


def read_document(path: Path, encoding: str) -> Rows:
    """Read a file as one record.

    Raises:
        BadData: The file cannot be read as text.
    """
    with open_text(path, encoding, newline="\n") as text:
        yield 1, {"text": text.read()}


def read_passages(path: Path, encoding: str, num_words: int) -> Rows:
    """Read a document in passages of whole paragraphs.

    Args:
        path: The document. Of a Project Gutenberg file, head and foot are left out.
        encoding: Character encoding.
        num_words: A passage ends with the paragraph that brings it closest to so many words. A
            single paragraph may be longer, and the last passage shorter.

    Raises:
        BadData: The file cannot be read as text.
    """
    passage: list[Paragraph] = []
    held = 0
    for paragraph in _paragraphs(_body(path, encoding)):
        words = len(paragraph[1].split())
        # To end here or to go on: whichever leaves the passage closer to its length.
        if passage and abs(held + words - num_words) > abs(num_words - held):
            yield _passage(passage)
            passage, held = [], 0
        passage.append(paragraph)
        held += words
    if passage:
        yield _passage(passage)


def read_tagged_lines(path: Path, encoding: str) -> Rows:
    """Read lines of text between tags; the tag is the label, escapes such as `&amp;` are undone.

    Raises:
        BadData: The file cannot be read as text.
    """
    for number, line in _numbered_lines(path, encoding):
        if not line.strip():
            continue
        match = _TAGGED.fullmatch(line.strip())
        if match is None:
            yield number, Unreadable("not a text between tags, such as <Pros>Light</Pros>", line)
        else:
            yield number, {"text": html.unescape(match[2]), "label": match[1]}


def _numbered_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    with open_text(path, encoding, newline="\n") as text:
        for number, line in enumerate(text, 1):
            yield number, line.rstrip("\r\n")


def _body(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """The lines of a document, less the head and the foot of a Project Gutenberg file."""
    # Where the head ends is known only after it, so the file is read up to there twice.
    marks = (number for number, line in _numbered_lines(path, encoding) if _HEAD_ENDS.match(line))
    head = next(marks, 0)
    in_head = head > 0
    for number, line in _numbered_lines(path, encoding):
        if in_head:
            # The mark goes on over several lines where the title is long.
            in_head = number <= head or bool(line.strip())
        elif _FOOT_BEGINS.match(line):
            return
        else:
            yield number, line


def _paragraphs(lines: Iterable[tuple[int, str]]) -> Iterator[Paragraph]:
    start, words = 0, list[str]()
    for number, line in lines:
        if line.strip():
            start = start if words else number
            words += line.split()
        elif words:
            yield start, " ".join(words)
            words = []
    if words:
        yield start, " ".join(words)


def _passage(paragraphs: list[Paragraph]) -> tuple[int, dict[str, str]]:
    return paragraphs[0][0], {"text": "\n".join(text for _, text in paragraphs)}
