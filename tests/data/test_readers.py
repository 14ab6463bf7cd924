import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from tasks.config import Source
from tasks.data.readers import Unreadable, format_of, read_rows
from tasks.data.readers_conll import entities_of
from tasks.errors import BadData

ROWS = [
    {"text": 'She said "no", twice.', "label": "negative"},
    {"text": "Two\nlines, one row", "label": "positive"},
    {"text": "Café für alle – ok\x85", "label": "positive"},
]
FLAT_ROWS = [row for row in ROWS if "\n" not in row["text"]]


def read(path: Path, **settings: Any) -> list[tuple[int, Any]]:
    source = Source(path=str(path), **settings)
    return list(read_rows(path, format_of(path, source), source))


def as_csv(rows: list[dict[str, str]], delimiter: str = ",", line: str = "\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=line)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_jsonl(rows: list[dict[str, str]], line: str = "\n") -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + line for row in rows)


def arrow_stream(rows: list[dict[str, str]]) -> bytes:
    table = pa.Table.from_pylist(rows)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def arrow_file(rows: list[dict[str, str]]) -> bytes:
    table = pa.Table.from_pylist(rows)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(rows: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


Encode = Callable[[list[dict[str, str]]], bytes]
FORMATS: dict[str, Encode] = {
    "plain.jsonl": lambda rows: as_jsonl(rows).encode(),
    "crlf.jsonl": lambda rows: as_jsonl(rows, "\r\n").encode(),
    "bom.ndjson": lambda rows: as_jsonl(rows).encode("utf-8-sig"),
    "zipped.jsonl.gz": lambda rows: gzip.compress(as_jsonl(rows).encode()),
    "zipped.jsonl.zst": lambda rows: pa.compress(as_jsonl(rows).encode(), "zstd", asbytes=True),
    "frames.csv.zst": lambda rows: b"".join(
        pa.compress(line, "zstd", asbytes=True)
        for line in as_csv(rows).encode().splitlines(keepends=True)
    ),
    "zipped.json.bz2": lambda rows: bz2.compress(json.dumps(rows).encode()),
    "zipped.ndjson.xz": lambda rows: lzma.compress(as_jsonl(rows).encode()),
    "blank_lines.jsonl": lambda rows: ("\n" + as_jsonl(rows, "\n\n")).encode(),
    "no_last_newline.jsonl": lambda rows: as_jsonl(rows).rstrip("\n").encode(),
    "lines.json": lambda rows: as_jsonl(rows).encode(),
    "array.json": lambda rows: json.dumps(rows).encode(),
    "indented.json": lambda rows: json.dumps(rows, indent=2).encode("utf-8-sig"),
    "wrapped.json": lambda rows: json.dumps({"version": {"a": [1]}, "data": rows}).encode(),
    "wrapped_first.json.gz": lambda rows: gzip.compress(
        json.dumps({"data": rows, "n": 3}).encode()
    ),
    "wrapped_blank_lines.json": lambda rows: (json.dumps({"data": rows}) + "\n\n").encode(),
    "plain.csv": lambda rows: as_csv(rows).encode(),
    "bom.csv": lambda rows: as_csv(rows).encode("utf-8-sig"),
    "zipped.csv.gz": lambda rows: gzip.compress(as_csv(rows).encode()),
    "semicolons.csv": lambda rows: as_csv(rows, ";").encode("utf-8-sig"),
    "separator.csv": lambda rows: f"sep=;\r\n{as_csv(rows, ';')}".encode("utf-8-sig"),
    "other_separator.csv": lambda rows: f'"sep=|"\n{as_csv(rows, "|")}'.encode(),
    "quoted.tsv": lambda rows: as_csv(rows, "\t").encode(),
    "table.parquet": parquet,
    "table.arrow": arrow_file,
    "stream.arrow": arrow_stream,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMATS[name](ROWS))
    assert [row for _, row in read(path)] == ROWS


def test_windows_line_ends_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv(FLAT_ROWS, line="\r\n").encode())
    assert [row for _, row in read(path)] == FLAT_ROWS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.tsv"])
def test_other_encodings(encoding: str, name: str, tmp_path: Path) -> None:
    rows = [{"text": "Café für alle", "label": "positive"}]
    path = tmp_path / name
    text = as_jsonl(rows) if name == "a.jsonl" else as_csv(rows, "\t" if "tsv" in name else ",")
    path.write_bytes(text.encode(encoding))
    assert [row for _, row in read(path, encoding=encoding)] == rows


def test_rows_know_the_line_on_which_they_start(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"one\ntwo\nthree",x\n\nfour,y\nfive\n"si"x,y\nseven,z\n')
    rows = read(path)
    assert [line for line, _ in rows] == [2, 6, 7, 8, 9]
    assert rows[1][1] == {"text": "four", "label": "y"}
    assert rows[2][1] == Unreadable("1 cells where the first line has 2", "five")
    assert isinstance(rows[3][1], Unreadable) and rows[3][1].reason.startswith("not CSV: ")
    assert rows[4][1] == {"text": "seven", "label": "z"}


def test_bad_lines_of_jsonl_are_told_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    deep = "[" * 100_000
    path.write_text(f'{{"a": 1}}\n{{"a": }}\n[1]\n"x"\nnull\n{deep}\n{{"a": 2}}\n{{"a"')
    rows = read(path)
    assert [line for line, _ in rows] == list(range(1, 9))
    reasons = [row.reason for _, row in rows if isinstance(row, Unreadable)]
    assert reasons == [
        "not JSON: Expecting value at column 7",
        "an array where a JSON object is expected",
        "a string where a JSON object is expected",
        "null where a JSON object is expected",
        "not JSON: nested too deeply, or a number too long",
        "not JSON: Expecting ':' delimiter at column 5",
    ]


def test_items_of_an_array_know_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[\n  {"a": 1},\n  7,\n  {\n    "a": 2\n  }\n]\n')
    number = Unreadable("a number where a JSON object is expected", "7")
    assert read(path) == [(2, {"a": 1}), (3, number), (4, {"a": 2})]


def test_quotes_are_text_in_tab_separated_files(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('"Good" they say\t1\n"All quoted"\t0\na "\t1\n')
    assert [row for _, row in read(path, header=False)] == [
        {"0": '"Good" they say', "1": "1"},
        {"0": '"All quoted"', "1": "0"},
        {"0": 'a "', "1": "1"},
    ]


def test_one_stray_quote_does_not_make_a_file_quoted(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('good\t1\n"bad\t0\nfine\t1\n')
    assert [row["0"] for _, row in read(path, header=False)] == ["good", '"bad', "fine"]


def test_sentences_of_a_long_quoted_file_are_cut_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    rows = [{"text": f'{"w" * 990}\n"{number}"', "label": "x"} for number in range(2_000)]
    path.write_text(as_csv(rows, "\t"))
    assert [row for _, row in read(path)] == rows


def test_an_empty_line_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\r\n\r\ngood\t1\r\n")
    assert read(path) == [(3, {"text": "good", "label": "1"})]


def test_a_comma_in_a_quoted_name_does_not_separate(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"text";"good, or bad"\nfine, really;1\n')
    assert read(path) == [(2, {"text": "fine, really", "good, or bad": "1"})]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": "0"}, {"0": "Hello; you"}),
        ({"text": "0", "label": "1"}, {"0": "Hello", "1": " you"}),
        ({"text": "1"}, {"0": "Hello", "1": " you"}),
    ],
)
def test_a_text_without_a_header_is_not_cut_at_its_semicolon(
    columns: dict[str, str], expected: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Hello; you\nBye; all\n")
    assert read(path, header=False, columns=columns)[0] == (1, expected)


@pytest.mark.parametrize("encode", [arrow_file, arrow_stream, parquet])
def test_damaged_tables_are_told_and_never_end_the_process(encode: Encode, tmp_path: Path) -> None:
    whole = encode(FLAT_ROWS)
    path = tmp_path / ("a.parquet" if encode is parquet else "a.arrow")
    told = 0
    for position in range(0, len(whole), 3):
        path.unlink(missing_ok=True)  # never change a file that may still be mapped
        path.write_bytes(whole[:position] + b"\xff\x7f" + whole[position + 2 :])
        try:
            read(path)
        except BadData:
            told += 1
    assert told > len(whole) // 12


CONLL = "-DOCSTART- -X- O\n\nAnna B-PER\nLee I-PER\nsaw O\nOslo B-LOC\n\n \nRain O\n\nTags bad\n"


def test_conll_sentences(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(CONLL)
    assert read(path) == [
        (3, {"sentence": "Anna Lee saw Oslo", "entities": "person: Anna Lee; location: Oslo"}),
        (9, {"sentence": "Rain", "entities": "none"}),
        (11, Unreadable("the tag 'bad' is neither O nor like B-PER", "Tags bad")),
    ]


@pytest.mark.parametrize("separator", ["\t", " ", " NNP I-NP "])
def test_conll_columns(separator: str, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(f"EU{separator}I-ORG\r\nrules{separator}O\r\n")
    assert read(path) == [(1, {"sentence": "EU rules", "entities": "organisation: EU"})]


def test_conll_columns_by_number_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "germeval.tsv"
    sentence = "#\thttp://de.example.org\n1\tAnna\tB-PER\tO\n2\tLee\tI-PER\tB-LOC\n"
    path.write_text(f"{sentence}\n# id 7\n\n1\t#\tO\tO\n")
    rows = read(path, format="conll", token_column=1, tag_column=2)
    assert rows == [
        (2, {"sentence": "Anna Lee", "entities": "person: Anna Lee"}),
        (7, {"sentence": "#", "entities": "none"}),
    ]
    [(line, row), _] = read(path, format="conll", token_column=1, tag_column=4)
    assert (line, row.reason) == (2, "not a token and a tag")


def test_a_number_sign_with_a_tag_is_a_token(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("# O\n1 O\n\n# id 7\nthe\xa0end O\n-DOCSTART- -X- O O\nOslo I-LOC\n")
    assert [row for _, row in read(path)] == [
        {"sentence": "# 1", "entities": "none"},
        {"sentence": "the\xa0end", "entities": "none"},
        {"sentence": "Oslo", "entities": "location: Oslo"},
    ]


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("O O O O", "none"),
        ("B-PER I-PER O O", "person: a b"),
        ("B-PER B-PER O B-LOC", "person: a; person: b; location: d"),
        ("I-PER I-PER O I-LOC", "person: a b; location: d"),  # IOB1
        ("I-PER B-PER O O", "person: a; person: b"),  # IOB1: B only between neighbours
        ("I-PER I-LOC I-MISC O", "person: a; location: b; other: c"),
        ("B-PER O I-PER O", "person: a; person: c"),
        ("B-PER I-LOC I-LOC I-PER", "person: a; location: b c; person: d"),  # as conlleval has it
        ("S-PER I-PER E-PER I-PER", "person: a; person: b c; person: d"),
        ("L-PER U-PER O E-LOC", "person: a; person: b; location: d"),
        ("B-ORG I-ORG E-ORG S-creative-work", "organisation: a b c; creative-work: d"),
    ],
)
def test_tags_become_entities(tags: str, entities: str) -> None:
    assert entities_of(list(zip("abcd", tags.split(), strict=True))) == entities
