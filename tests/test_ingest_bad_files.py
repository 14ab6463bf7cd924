import gzip
import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks.errors import BadData
from tests.data.archives import write_archive
from tests.ingesting import recipe_of, run


def parquet(columns: list[Any], names: list[str]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns, names=names), sink)
    return sink.getvalue()


def when(number: int, kind: pa.DataType) -> bytes:
    """A table with a column that no prompt needs."""
    return parquet([["a"], ["b"], pa.array([number], kind)], ["dialogue", "summary", "when"])


GOOD_CSV = b"dialogue,summary\na,b\n"
ZSTD = pa.compress(GOOD_CSV * 50, "zstd", asbytes=True)
BAD_FILES: dict[str, tuple[str, bytes, dict[str, Any], list[str]]] = {
    "empty file": ("a.csv", b"", {}, ["a.csv", "an empty file"]),
    "header alone": ("a.csv", b"dialogue,summary\n", {}, ["rows", "none", "header alone"]),
    "blank lines alone": ("a.jsonl", b"\n\n\n", {}, ["rows", "none"]),
    "empty array": ("a.json", b"[]", {}, ["rows", "none"]),
    "empty gz": ("a.jsonl.gz", gzip.compress(b""), {}, ["rows", "none"]),
    "unknown ending": ("a.xlsx", b"PK", {}, ["a known ending: .jsonl", "'.xlsx'", "as CSV"]),
    "old spreadsheet": ("a.csv", b"\xd0\xcf\x11\xe0...", {}, ["an old spreadsheet", "as CSV"]),
    "bars": ("a.csv", GOOD_CSV.replace(b",", b"|"), {}, ["only dialogue|summary", "sep=|"]),
    "packed otherwise": ("a.jsonl.lz4", b"x", {}, ["'.lz4'", "pack it with gzip or zstd"]),
    "no ending": ("a", GOOD_CSV, {}, ["a known ending", "''"]),
    "truncated gz": (
        "a.jsonl.gz",
        gzip.compress(b'{"dialogue": "Ana: Hi", "summary": "Ana greets."}\n' * 1000)[:-40],
        {},
        ["an intact .gz file", "one that ends too early", "again"],
    ),
    "cut gz in another encoding": (
        "a.jsonl.gz",
        gzip.compress(b"caf\xe9 " * 5)[:-10],
        {},
        ["one that ends too early"],
    ),
    "truncated zst": ("a.jsonl.zst", ZSTD[:-9], {}, ["an intact .zst file", "Truncated"]),
    "damaged zst": ("a.jsonl.zst", ZSTD[:-9] + b"x" * 9, {}, ["an intact .zst file", "corruption"]),
    "damaged bz2": ("a.jsonl.bz2", GOOD_CSV, {}, ["an intact .bz2 file", "Invalid data stream"]),
    "damaged xz": ("a.jsonl.xz", GOOD_CSV, {}, ["an intact .xz file", "not supported by decoder"]),
    "zst without ending": ("a.csv", ZSTD, {}, ["zstd data", "end in .zst"]),
    "not gz": ("a.csv.gz", GOOD_CSV, {}, ["Not a gzipped file", "an intact .gz file"]),
    "gz without ending": ("a.csv", gzip.compress(GOOD_CSV), {}, ["gzip data", "end in .gz"]),
    "zip": ("a.csv", b"PK\x03\x04....", {}, ["a zip archive", "unpack"]),
    "not UTF-8": (
        "a.csv",
        "dialogue,summary\nx,y\ncafé,z\n".encode("latin-1"),
        {},
        ["a.csv:3", "text in utf-8", "the byte 0xe9 at byte offset 24", "encoding"],
    ),
    "cut character": (
        "a.jsonl",
        b'{"a": "\xc3',
        {},
        ["a.jsonl:1", "ends too early at byte offset"],
    ),
    "UTF-16": (
        "a.csv",
        GOOD_CSV.decode().encode("utf-16"),
        {},
        ["text in utf-8\n", "byte-order mark of UTF-16", "source.encoding: utf-16"],
    ),
    "UTF-16 without a mark": (
        "a.csv",
        GOOD_CSV.decode().encode("utf-16-be"),
        {},
        ["every second byte", "source.encoding: utf-16-be"],
    ),
    "UTF-16 or not": ("a.csv", GOOD_CSV, {"encoding": "utf-16"}, ["a.csv:1", "not start with BOM"]),
    "another mark": (
        "a.csv",
        GOOD_CSV.decode().encode("utf-16"),
        {"encoding": "utf-16-le"},
        ["text in utf-16-le", "byte-order mark of UTF-16", "source.encoding: utf-16"],
    ),
    "UTF-8 with a mark": (
        "a.csv",
        GOOD_CSV.decode().encode("utf-8-sig"),
        {"encoding": "cp1252"},
        ["text in cp1252", "byte-order mark of UTF-8", "source.encoding: utf-8"],
    ),
    "not for text": ("a.csv", GOOD_CSV, {"encoding": "rot13"}, ["'rot13'", "cp1252"]),
    "NUL in encoding": ("a.csv", GOOD_CSV, {"encoding": "utf-8\0"}, ["a character encoding"]),
    "date": ("a.parquet", when(2**30, pa.date32()), {}, ["a.parquet", "'when' of date32[day]"]),
    "infinity": ("a.parquet", when(2**62, pa.timestamp("us")), {}, ["'when'", "out of range"]),
    "duration": ("a.parquet", when(2**62, pa.duration("s")), {}, ["'when' of duration[s]"]),
    "time zone": ("a.parquet", when(1, pa.timestamp("us", "Mars/Sea")), {}, ["'Mars/Sea'", "know"]),
    "unknown encoding": ("a.csv", GOOD_CSV, {"encoding": "utf8x"}, ["'utf8x'", "cp1252"]),
    "missing column": (
        "a.csv",
        b"dialogue,sumary\na,b\n",
        {},
        ["the column 'summary'", "only dialogue, sumary", "{summary: sumary}"],
    ),
    "no header": (
        "a.csv",
        b"Ana: Lunch?,Ana eats\nBo: Ill?,No\n",
        {},
        ["only Ana: Lunch?, Ana eats", "or set source.header: false"],
    ),
    "objects": (
        "a.jsonl",
        b'{"dialogue": {"en": "x"}, "summary": "y"}\n',
        {},
        ["1 x dialogue is an object, not text", "source.columns: {FIELD: COLUMN.NAME}"],
    ),
    "missing key": ("a.jsonl", b'{"dialogue": "x"}\n', {}, ["'summary'", "only dialogue"]),
    "missing split column": (
        "a.csv",
        GOOD_CSV,
        {"split_column": "part"},
        ["the column 'part'", "source.split_column"],
    ),
    "tabs in CSV": ("a.csv", GOOD_CSV.replace(b",", b"\t"), {}, ["source.format: tsv"]),
    "number out of range": (
        "a.tsv",
        b"x\ty\n",
        {"header": False, "columns": {"dialogue": "0", "summary": "2"}},
        ["the column '2'", "only 0, 1", "from 0"],
    ),
    "number with a header": (
        "a.csv",
        GOOD_CSV,
        {"columns": {"dialogue": "0"}},
        ["the column '0'", "source.header: false"],
    ),
    "same name twice": ("a.csv", b"text,text\na,b\n", {}, ["a.csv:1", "'text' twice"]),
    "same name twice in a table": (
        "a.parquet",
        parquet([["a"], ["b"], ["c"]], ["dialogue", "summary", "summary"]),
        {},
        ["a.parquet", "'summary' twice"],
    ),
    "open quote": ("a.csv", GOOD_CSV + b'"x,y\nc,d\n', {}, ["a.csv:3", "never closed"]),
    "a cell too long": (
        "a.csv",
        GOOD_CSV + b"a" * 10_000_001 + b",b\n",
        {},
        ["a.csv:3", "at most 10,000,000 characters", "a longer one"],
    ),
    "accents apart": (
        "a.csv",
        "re\u0301sume\u0301,summary\na,b\n".encode(),
        {"columns": {"dialogue": "r\u00e9sum\u00e9"}},
        ["only re\u0301sume\u0301", "{dialogue: re\u0301sume\u0301}, copied from the file"],
    ),
    "texts for splits": (
        "a.csv",
        b"dialogue,summary\n" + b"long " * 9000 + b",b\n",
        {"split_column": "dialogue"},
        [f"1 x dialogue '{'long ' * 7}lo...' is not one of train"],
    ),
    "one row": ("a.json", b'{"dialogue": "a"}\n', {}, ["the keys dialogue", "format: jsonl"]),
    "not JSON": ("a.json", b"[1,\n}", {}, ["a.json:2", "Expecting value at column 1"]),
    "cut array": ("a.json", b'[{"a": 1}\n', {}, ["a.json:2", "expected ',' or ']'"]),
    "two arrays": (
        "a.json",
        b'[{"a": 1}]\n[{"a": 2}]\n',
        {},
        ["a.json:2", "behind the end of the a"],
    ),
    "two arrays and a comma": (
        "a.json",
        b'[{"a": 1}],\n[{"a": 2}]\n',
        {},
        ["a.json:1", "behind the end of the array at column 11"],
    ),
    "two objects": (
        "a.json",
        b'{\n"data": [{"a": 1}]\n}\n{\n"data": [{"a": 2}]\n}\n',
        {},
        ["a.json:4", "behind the end of the array"],
    ),
    "one object": ("a.json", b'{"rows": []}', {}, ['{"data": [...]}', "the keys rows"]),
    "one value": ("a.json", b"7", {}, ["an array of objects", "another value"]),
    "not objects": ("a.jsonl", b"[1]\n[2]\n", {}, ["2 of 2 rows", "2 x an array where a JSON obj"]),
    "no Parquet": ("a.parquet", GOOD_CSV, {}, ["a Parquet file", "source.format"]),
    "no Arrow": ("a.arrow", GOOD_CSV * 9, {}, ["an Arrow file or stream"]),
    "gzipped Parquet": ("a.parquet.gz", b"x", {}, ["a compressed one", "unpack"]),
    "Parquet as text": ("a.csv", b"PAR1....", {}, ["Parquet data", "format: parquet"]),
    "wrong shape": (
        "a.csv",
        GOOD_CSV,
        {"shape": "alpaca"},
        ["the shape alpaca: instruction and output", "the columns dialogue, summary"],
    ),
    "another shape": (
        "a.jsonl",
        b'{"messages": []}\n',
        {},
        ["the rows have the shape messages, which gives prompt and completion"],
    ),
    "saved is a file": ("a.csv", GOOD_CSV, {"format": "saved"}, ["save_to_disk", "no folder"]),
    "not a zip archive": ("a.zip", GOOD_CSV, {}, ["a.zip", "an intact archive", "not a zip file"]),
    "not a tar archive": ("a.tar.gz", GOOD_CSV, {}, ["a.tar.gz", "an intact archive"]),
    "bad test file": ("a.csv", GOOD_CSV, {"test": "gone.csv"}, ["gone.csv", "no such file"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_told(name: str, tmp_path: Path) -> None:
    file_name, content, settings, parts = BAD_FILES[name]
    path = tmp_path / file_name
    path.write_bytes(content)
    with pytest.raises(BadData) as caught:
        run(tmp_path, {"path": str(path), **settings})
    message = str(caught.value)
    assert [part for part in parts if part not in message] == [], message
    assert not (tmp_path / "workspace" / "ingest").exists()


@pytest.mark.parametrize("damage", ["cut", "not UTF-8", "state", "info"])
def test_a_damaged_saved_data_set_is_told(damage: str, tmp_path: Path) -> None:
    import datasets

    folder = tmp_path / "saved"
    content = {"dialogue": ["xxxxxxxx"] * 9, "summary": ["y"] * 9}
    datasets.Dataset.from_dict(content).save_to_disk(str(folder))
    [arrow] = folder.glob("*.arrow")
    written = arrow.read_bytes()
    arrow.unlink()  # never change a file that may still be mapped
    arrow.write_bytes(written[: len(written) // 2] if damage == "cut" else written)
    if damage == "not UTF-8":
        arrow.unlink()
        arrow.write_bytes(written.replace(b"xxxxxxxx", b"\xff" * 8))
    elif damage in ("state", "info"):
        name, text = {"state": ("state", "{}"), "info": ("dataset_info", "[]")}[damage]
        (folder / f"{name}.json").write_text(text)
    with pytest.raises(BadData, match=r"saved\n.*data[ .s].*\n.*\n.*save the data set again"):
        run(tmp_path, {"path": str(folder)})


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("chat.csv", ["chat.csv", "no such file", "did you mean", "chats.csv?"]),
        ("nowhere/chats.csv", ["there is no folder", "nowhere"]),
        ("*.tsv", ["files that match", "none", "the current folder is"]),
        ("empty", ["files in the folder", "none"]),
        ("mixed", ["README", "a known ending"]),
        ("links/b.csv", ["b.csv", "a link to something that is not there"]),
        ("links", ["b.csv", "a link to something that is not there"]),
        ("links/*.csv", ["b.csv", "a link to something that is not there"]),
    ],
)
def test_a_bad_path_is_told(path: str, parts: list[str], tmp_path: Path) -> None:
    (tmp_path / "chats.csv").write_bytes(GOOD_CSV)
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.csv").write_bytes(GOOD_CSV)
    (tmp_path / "mixed" / "README").write_text("about")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.csv").symlink_to(tmp_path / "chats.csv")
    (tmp_path / "links" / "b.csv").symlink_to(tmp_path / "unmounted" / "b.csv")
    with pytest.raises(BadData) as caught:
        run(tmp_path, {"path": str(tmp_path / path)})
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"target": "two.txt"}, ["3 in ", "2 in ", "the same number of lines"]),
        ({"target": "folder"}, ["a file", "a folder", "name one file"]),
        ({"target": "gone.txt"}, ["gone.txt", "no such file"]),
        ({"target": "two.txt", "validation": "dev.txt"}, ["'three' in the name", "dev.txt"]),
    ],
)
def test_bad_parallel_files_are_told(
    settings: dict[str, str], parts: list[str], tmp_path: Path
) -> None:
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "dev.txt").write_text("a\n")
    (tmp_path / "folder").mkdir()
    source = {
        "path": str(tmp_path / "three.txt"),
        "format": "parallel",
        "parallel": {"target": str(tmp_path / settings["target"])},
        "constants": {"source_language": "Java", "target_language": "C#"},
    }
    if "validation" in settings:
        source["validation"] = str(tmp_path / settings["validation"])
    with pytest.raises(BadData) as caught:
        run(tmp_path, source, prompts="code_translation")
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "settings", "parts"),
    [
        ("", {}, ["a.zip!d/README", "a known ending", "''", "source.format: tsv (or lines)"]),
        ("!*.tsv", {}, ["a.zip!*.tsv", "files in the archive", "none", "d/README, d/a.csv"]),
        ("!*/empty.csv", {}, ["a.zip!d/empty.csv", "an empty file", "choose the others"]),
        ("!*/bad.csv", {}, ["a.zip!d/bad.csv:2", "never closed"]),
        ("!*/*.pq", {"format": "parquet"}, ["a.zip!d/a.pq", "a Parquet file"]),
        (
            "!*/a.csv",
            {"path_fields": "(?P<summary>pos|neg)/"},
            ["a.zip!d/a.csv", "source.path_fields in the path: (?P<summary>", "'d/a.csv'"],
        ),
        ("!*/a.csv", {"validation": "gone.zip!a.csv"}, ["gone.zip", "no such file"]),
    ],
)
def test_what_is_wrong_in_an_archive_is_told(
    pattern: str, settings: dict[str, Any], parts: list[str], tmp_path: Path
) -> None:
    files = {"README": b"about", "a.csv": GOOD_CSV, "bad.csv": GOOD_CSV[:-4] + b'"x\n'}
    files |= {"a.pq": b"PAR1", "empty.csv": b""}
    archive = write_archive(
        tmp_path / "a.zip", {f"d/{name}": content for name, content in files.items()}
    )
    if not pattern:
        write_archive(archive, {"d/README": b"about", "d/a.csv": GOOD_CSV})
    with pytest.raises(BadData) as caught:
        run(tmp_path, {"path": f"{archive}{pattern}", **settings})
    message = str(caught.value)
    assert [part for part in parts if part not in message] == [], message
    assert not (tmp_path / "workspace" / "ingest").exists()


def test_a_path_without_the_fields_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD_CSV)
    with pytest.raises(BadData, match=r"a\.csv\n.*in the path: \(\?P<x>y\)\n +found +'a\.csv'"):
        run(tmp_path, {"path": str(tmp_path / "a.csv"), "path_fields": "(?P<x>y)"})


def test_a_field_of_a_path_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.csv")).write_bytes(GOOD_CSV)
    source = {"path": str(tmp_path), "format": "csv", "path_fields": r"(?P<summary>.*)\.csv"}
    with pytest.raises(
        BadData, match=r"caf\\udce9\.csv\n.*UTF-8 in the part .* that source.path_fields"
    ):
        run(tmp_path, source)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"path_fields": "(?P<label>pos"}, r"regular expression \(missing \), unterminated"),
        ({"path_fields": "(pos|neg)/"}, "with a named group"),
        ({"path_fields": "(?P<x>y)", "format": "saved"}, "files that are read one by one"),
        ({"path_fields": "(?P<x>y)", "path": None, "hub": "a/b", "revision": "1"}, "one by one"),
        ({"passage_words": 0}, "greater than or equal to 1"),
        ({"tag_column": -2}, "greater than or equal to -1"),
        ({"format": "sentences"}, "'lines', 'documents', 'passages'"),
    ],
)
def test_a_bad_setting_is_an_error_of_the_recipe(settings: dict[str, Any], part: str) -> None:
    with pytest.raises(ValidationError, match=part):
        recipe_of({"path": "a.txt", **settings})
