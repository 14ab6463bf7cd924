"""Archives as folders: `fairytaleqa.zip!*train*.csv` are the files of a zip or tar that match.

    unpacked(Path("fairytaleqa.zip"), "*train*.csv", folder)
    ->  [("data/train.csv", Path("<folder>/0"))]

A file is unpacked under a number, so no name in an archive says where anything is written.
"""

import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from tasks.data.readers_text import COMPRESSIONS
from tasks.errors import BadData, first_line

_ENDS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
_WITH_PATTERN = re.compile(rf"(.*(?:{'|'.join(map(re.escape, _ENDS))}))!(.+)", re.IGNORECASE)

# RuntimeError is what zipfile raises for a compression that it does not know, UnicodeDecodeError
# for a name that is not the UTF-8 that it says it is.
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    UnicodeDecodeError,
)
T = TypeVar("T")

_CHUNK_BYTES = 1 << 20
_SHOWN_NAMES = 5


@dataclass(frozen=True)
class _Entry:
    """A file in an archive, before it is read.

    Attributes:
        name: As the archive has it.
        num_bytes: Its size when unpacked.
        is_file: False for links and devices.
        is_encrypted: Whether it needs a password.
        open: Starts reading it.
    """

    name: str
    num_bytes: int
    is_file: bool
    is_encrypted: bool
    open: Callable[[], Any]


def split_pattern(path: str) -> tuple[str, str]:
    """Split `data.zip!*.csv` into the archive and the pattern, which is "" where there is none."""
    match = _WITH_PATTERN.fullmatch(path)
    return (match[1], match[2]) if match else (path, "")


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its name."""
    return path.name.lower().endswith(_ENDS)


def read_members(archive: Path, pattern: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The files of an archive that match, in its own order.

    Args:
        archive: A zip or tar file.
        pattern: Glob for the whole name, `*` matching `/` too. Where it is empty, all files but
            those that a folder is read without: hidden ones and those that start with "_".

    Yields:
        Name and content; the content has to be read before the next name is asked for.

    Raises:
        BadData: The archive is damaged, nothing in it matches, or what does can't be unpacked;
            also from within the content.
    """
    names: list[str] = []
    is_found = False
    entries = _zip_entries if archive.name.lower().endswith(".zip") else _tar_entries
    for entry in _with_archive_errors(archive, entries(archive)):
        name = str(PurePosixPath(entry.name))
        _check_name(archive, name)
        if len(names) < _SHOWN_NAMES:
            names.append(name)
        if _is_chosen(name, pattern):
            is_found = True
            _check_entry(f"{archive}!{name}", entry)
            yield name, _with_archive_errors(archive, _chunks(entry))
    if not is_found:
        where = f"{archive}!{pattern}" if pattern else str(archive)
        mend = f"it has, for example, {', '.join(names)}" if names else "put the data into it"
        raise BadData(where, "files in the archive that match", "none", mend)


@contextmanager
def unpacked(archive: Path, pattern: str, folder: Path) -> Iterator[list[tuple[str, Path]]]:
    """Unpack the files of an archive that match, for as long as the `with` block lasts.

    Args:
        archive: A zip or tar file.
        pattern: As for `read_members`.
        folder: Where to; emptied first, removed at the end.

    Yields:
        The name of each file and where it lies now, sorted by name.

    Raises:
        BadData: As for `read_members`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        paths: dict[str, Path] = {}
        for name, content in read_members(archive, pattern):
            # The readers unpack what is called so. A name that comes twice counts as replaced.
            suffix = Path(name).suffix.lower()
            ending = suffix if suffix in COMPRESSIONS else ""
            path = paths.setdefault(name, folder / f"{len(paths)}{ending}")
            with path.open("wb") as file:
                file.writelines(content)
        yield sorted(paths.items())
    finally:
        shutil.rmtree(folder)


def _zip_entries(archive: Path) -> Iterator[_Entry]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if not info.filename.endswith("/"):  # `is_dir` fails where there is no name
                is_link = stat.S_ISLNK(info.external_attr >> 16)
                is_encrypted = bool(info.flag_bits & 1)
                opened = partial(file.open, info)
                yield _Entry(info.filename, info.file_size, not is_link, is_encrypted, opened)


def _tar_entries(archive: Path) -> Iterator[_Entry]:
    with tarfile.open(archive) as file:
        for info in file:
            if not info.isdir():
                opened = partial(file.extractfile, info)
                yield _Entry(info.name, info.size, info.isreg(), False, opened)
        _check_end(file)


def _check_end(file: tarfile.TarFile) -> None:
    """Look after the last file: tarfile takes a header that it cannot read for the end."""
    assert file.fileobj is not None
    file.fileobj.seek(file.offset)
    if file.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError(f"bad header at byte {file.offset}")
    while file.fileobj.read(_CHUNK_BYTES):
        pass  # the checksum of the compression stands at the end


def _chunks(entry: _Entry) -> Iterator[bytes]:
    file: IO[bytes] = entry.open()
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _with_archive_errors(archive: Path, items: Iterator[T]) -> Iterator[T]:
    """The items; what is wrong with the archive is told as such."""
    try:
        yield from items
    except _DAMAGED as error:
        found = first_line(error).rstrip(":") or type(error).__name__
        if isinstance(error, UnicodeDecodeError):
            found = "the name of a file that is not UTF-8"
        mend = "copy or download it again; if it is intact, unpack it and give the folder"
        raise BadData(str(archive), "an intact archive", found, mend) from None


def _is_chosen(name: str, pattern: str) -> bool:
    parts = PurePosixPath(name).parts
    is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    if not pattern:
        return not is_hidden and not parts[-1].startswith("_")
    return name == pattern or (not is_hidden and fnmatchcase(name, pattern))


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        mend = "make the archive again from within the folder, if you trust what is in it"
        raise BadData(str(archive), "names that stay inside the archive", f"'{name}'", mend)


def _check_entry(where: str, entry: _Entry) -> None:
    if entry.is_encrypted:
        mend = "unpack it with its password, and give the folder"
        raise BadData(where, "a file that can be read", "an encrypted one", mend)
    if not entry.is_file:
        mend = "choose the files themselves: source.path: archive.tar!*.csv, for example"
        raise BadData(where, "a file", "a link or a device", mend)
    if entry.num_bytes == 0:
        mend = "choose the others: source.path: archive.zip!*.csv, for example"
        raise BadData(where, "rows", "an empty file", mend)
