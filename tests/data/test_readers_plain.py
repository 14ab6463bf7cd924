import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Source
from tasks.data.readers import Unreadable, format_of, read_rows
from tasks.errors import BadData

LINES = ["Café für alle – ok", 'She said "no",\ttwice. ', "<b>", "a\x85b\u2028c"]
BOOK = """\
The Project Gutenberg EBook of Boats

Some rules about its use.

*** START OF THIS PROJECT GUTENBERG EBOOK BOATS (VOLUME
ONE) ***


  The boat left
the bay.

Nobody saw it
go.

End of the Project Gutenberg EBook of Boats, by Nobody

*** END OF THIS PROJECT GUTENBERG EBOOK BOATS ***

More rules.
"""


def read(path: Path, **settings: Any) -> list[tuple[int, Any]]:
    source = Source(path=str(path), **settings)
    return list(read_rows(path, format_of(path, source), source))


def texts(path: Path, **settings: Any) -> list[str]:
    return [row["text"] for _, row in read(path, **settings)]


ENCODED: dict[str, Callable[[str], bytes]] = {
    "plain.txt": str.encode,
    "crlf.txt": lambda text: text.replace("\n", "\r\n").encode(),
    "bom.txt": lambda text: text.encode("utf-8-sig"),
    "zipped.txt.gz": lambda text: gzip.compress(text.encode()),
    "no_last_newline": lambda text: text.rstrip("\n").encode(),
}


@pytest.mark.parametrize("name", ENCODED)
def test_lines_are_records_and_empty_ones_are_none(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(ENCODED[name]("\n" + "\n \n".join(LINES) + "\n"))
    expected = [(2 + 2 * number, {"text": line}) for number, line in enumerate(LINES)]
    assert read(path, format="lines") == expected


@pytest.mark.parametrize("name", ENCODED)
def test_a_document_is_a_record(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(ENCODED[name]("\n".join(LINES) + "\n"))
    [(line, row)] = read(path, format="documents")
    assert line == 1
    assert row["text"].replace("\r\n", "\n").strip("\n") == "\n".join(LINES)


@pytest.mark.parametrize("name", ENCODED)
def test_passages_of_a_gutenberg_book(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(ENCODED[name](BOOK))
    assert read(path, format="passages") == [
        (9, {"text": "The boat left the bay.\nNobody saw it go."})
    ]
    assert read(path, format="passages", passage_words=4) == [
        (9, {"text": "The boat left the bay."}),
        (12, {"text": "Nobody saw it go."}),
    ]


@pytest.mark.parametrize(
    ("head", "foot"),
    [
        ("***START OF THE PROJECT GUTENBERG EBOOK A***", "***END OF THE PROJECT GUTENBERG A***"),
        (
            "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN*Ver.04.29.93*END*",
            "End of Project Gutenberg's A",
        ),
        (
            "*END THE SMALL PRINT! FOR PUBLIC DOMAIN*END*",
            "End of this Project Gutenberg Etext of A",
        ),
    ],
)
def test_other_marks_of_project_gutenberg(head: str, foot: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"rules\n\n{head}\n\nThe text.\n\n{foot}\n\nrules\n")
    assert texts(path, format="passages") == ["The text."]


def test_a_document_without_marks_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("*** START OF THE STORY ***\n\nOne.\n\nTHE END\n")
    assert texts(path, format="passages") == ["*** START OF THE STORY ***\nOne.\nTHE END"]


@pytest.mark.parametrize(
    ("paragraphs", "passages"),
    [
        ([5, 5, 5, 5], [10, 10]),
        ([4, 4, 5], [8, 5]),  # 8 words are closer to 10 than 13
        ([7, 4, 9], [11, 9]),  # 11 words are closer to 10 than 7
        ([30, 2, 3], [30, 5]),  # a paragraph is never cut
        ([2, 30, 3], [2, 30, 3]),
        ([3], [3]),
    ],
)
def test_a_passage_ends_where_it_comes_closest_to_its_length(
    paragraphs: list[int], passages: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(" ".join(["word"] * number) for number in paragraphs))
    found = texts(path, format="passages", passage_words=10)
    assert [len(text.split()) for text in found] == passages


def test_tagged_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    lines = [
        "\t<Pros>Easy to use, economical!</Pros>\r",
        "",
        "<Cons>R&amp;D is &gt;1 year late & <b>slow</b></Cons>",
        "<Pros>open",
        "<Pros>other</Cons>",
        "<Pros></Pros>",
        "<Pros>no</Pros> more",
    ]
    path.write_bytes(gzip.compress("\n".join(lines).encode("utf-8-sig")))
    reason = "not a text between tags, such as <Pros>Light</Pros>"
    assert read(path, format="tagged_lines") == [
        (1, {"text": "Easy to use, economical!", "label": "Pros"}),
        (3, {"text": "R&D is >1 year late & <b>slow</b>", "label": "Cons"}),
        (4, Unreadable(reason, "<Pros>open")),
        (5, Unreadable(reason, "<Pros>other</Cons>")),
        (6, {"text": "", "label": "Pros"}),
        (7, Unreadable(reason, "<Pros>no</Pros> more")),
    ]


@pytest.mark.parametrize("file_format", ["lines", "documents", "passages", "tagged_lines"])
def test_encodings_of_plain_text(file_format: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("<a>Café</a>\n".encode("latin-1"))
    [text] = texts(path, format=file_format, encoding="latin-1")
    assert text.strip() == ("Café" if file_format == "tagged_lines" else "<a>Café</a>")
    with pytest.raises(BadData, match=r"a\.txt:1\n.*text in utf-8\n.*0xe9 at byte offset 6"):
        read(path, format=file_format)
    path.write_bytes("<a>Café</a>\n".encode("utf-16"))
    with pytest.raises(BadData, match="the byte-order mark of UTF-16"):
        read(path, format=file_format)
