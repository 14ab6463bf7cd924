"""Open a text file: encoding, byte-order mark, compression; every failure says where and why.

with open_text(Path("reviews.jsonl.gz"), "utf-8", newline="\\n") as text:
    for line in text: ...                    # '{"text": "The zip broke.", "label": ...}\\n'
"""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import pyarrow as pa

from tasks.errors import BadData


def _open_plain(path: Path) -> Any:
    return path.open("rb")


def _open_zstd(path: Path) -> Any:
    return pa.input_stream(path, compression="zstd")


COMPRESSIONS: Mapping[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".zst": _open_zstd,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
"""End of a file's name -> what reads its bytes."""

_HEAD_BYTES = 8
_ENCODING_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BINARY_MARKS = {
    b"\x1f\x8b": ("gzip data", "let the file's name end in .gz"),
    b"PK\x03\x04": ("a zip archive (or a spreadsheet)", "unpack it, or save it as CSV"),
    b"PAR1": ("Parquet data", "set source.format: parquet"),
    b"ARROW1": ("Arrow data", "set source.format: arrow"),
    b"\xd0\xcf\x11\xe0": ("an old spreadsheet or document", "save it as CSV"),
    b"\x28\xb5\x2f\xfd": ("zstd data", "let the file's name end in .zst"),
    b"\xfd7zXZ": ("xz data", "let the file's name end in .xz"),
}


@contextmanager
def open_text(path: Path, encoding: str, newline: str) -> Iterator[TextIO]:
    """Open a text file, compressed if its name says so (`COMPRESSIONS`), without byte-order mark.

    Args:
        path: The file.
        encoding: Character encoding, any that Python knows.
        newline: How lines end, as for `open`.

    Raises:
        BadData: Also from within the `with` block, where reading fails there: not this encoding,
            a damaged compressed file, not text at all, no permission.
    """
    codec = _codec(path, encoding)
    try:
        with _reading(path) as file:
            _check_head(path, file.read(_HEAD_BYTES), codec)
        with (
            _reading(path) as file,  # anew, for zstd data have no way back
            io.TextIOWrapper(file, encoding=codec, newline=newline) as text,
        ):
            yield text
    except UnicodeError:
        raise _wrong_encoding(path, encoding, codec) from None


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with COMPRESSIONS.get(path.suffix.lower(), _open_plain)(path) as file:
            yield file
    except EOFError:
        raise _damaged(path, "one that ends too early") from None
    except (zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        if error.errno is None:  # the content is wrong, not the access to it
            raise _damaged(path, str(error)) from None
        raise BadData(str(path), "a file that can be read", error.strerror or str(error)) from None


def _codec(path: Path, encoding: str) -> str:
    try:
        "a".encode(encoding)  # refuses rot13 and its like, which are not for text
    except (LookupError, ValueError):
        mend = "set source.encoding to utf-8, utf-16, cp1252 or latin-1, for example"
        raise BadData(str(path), "a character encoding", repr(encoding), mend) from None
    name = codecs.lookup(encoding).name
    return "utf-8-sig" if name == "utf-8" else name


def _check_head(path: Path, head: bytes, codec: str) -> None:
    for mark, (found, mend) in _BINARY_MARKS.items():
        if head.startswith(mark):
            raise BadData(str(path), "text", found, mend)
    shown, found = _shown_encoding(head)
    if shown and (name := codec.removesuffix("-sig")) != shown:
        raise BadData(str(path), f"text in {name}", found, f"set source.encoding: {shown}")


def _shown_encoding(head: bytes) -> tuple[str, str]:
    """The encoding that the first bytes show, and what shows it; "" where nothing does."""
    for mark, name in _ENCODING_MARKS.items():
        if head.startswith(mark):
            return name, f"the byte-order mark of {name.upper()}"
    even, odd = head[::2], head[1::2]
    for name, letters, zeros in (("utf-16-le", even, odd), ("utf-16-be", odd, even)):
        if zeros and all(letters) and not any(zeros):
            return name, "a NUL as every second byte"
    return "", ""


def _damaged(path: Path, found: str) -> BadData:
    expected = f"an intact {path.suffix.lower()} file"
    return BadData(str(path), expected, found, "copy or download it again, or unpack it")


def _wrong_encoding(path: Path, encoding: str, codec: str) -> BadData:
    """Where the first byte stands that does not fit the encoding (the file is read again)."""
    decoder = codecs.getincrementaldecoder(codec)()
    offset, line, found = 0, 1, "a character that ends too early"
    with _reading(path) as file:
        while chunk := file.read(1 << 16):
            pending = len(decoder.getstate()[0])
            try:
                line += decoder.decode(chunk).count("\n")
            except UnicodeDecodeError as error:
                # `object` also holds the bytes left pending by the chunk before.
                line += error.object[: error.start].count(b"\n")
                offset += error.start - pending
                found = f"the byte 0x{error.object[error.start]:02x}"
                break
            except UnicodeError as error:  # such as UTF-16 without a byte-order mark
                found = str(error)
                break
            offset += len(chunk)
    mend = "save the file as UTF-8, or set source.encoding (often cp1252 or latin-1)"
    return BadData(
        f"{path}:{line}", f"text in {encoding}", f"{found} at byte offset {offset}", mend
    )
