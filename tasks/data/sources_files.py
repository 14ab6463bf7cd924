"""From a path in a recipe to files that can be read, and to the digests of what is in them.

"reviews/**/*.txt"      ->  File("reviews/pos/a.txt", "pos/a.txt", Path("reviews/pos/a.txt"))
"reviews.zip!*/pos/*"   ->  File("reviews.zip!reviews/pos/a.txt", "reviews/pos/a.txt",
                                 Path("<scratch>/0"))
"""

import difflib
import glob
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tasks.config.section import at_home
from tasks.data.sources_archives import is_archive, read_members, split_pattern, unpacked
from tasks.errors import BadData
from tasks.stage import digest_of_file


@dataclass(frozen=True)
class File:
    """A file to read.

    Attributes:
        name: For messages and the reject file: its path, or `archive.zip!member`.
        below: Its path below the source, or the name of the member.
        path: Where its bytes lie now.
    """

    name: str
    below: str
    path: Path

    def named(self, error: BadData) -> BadData:
        """The error with the file's name in place of where it was unpacked to."""
        [issue] = error.issues
        parts = (issue.where, issue.expected, issue.found, issue.mend)
        return BadData(*(part.replace(str(self.path), self.name) for part in parts))


@dataclass(frozen=True)
class Hashed:
    """The content of a file: `name` and `below` as in `File`, sha256 (hex) of its bytes."""

    name: str
    below: str
    digest: str


def find_files(path: str, allow_folder: bool = True) -> list[Path]:
    """The files that a path, a glob or a folder stands for, sorted by name.

    Args:
        path: As in the recipe. Of a folder, hidden files and those that start with "_" are left
            out, and so are its folders. Of an archive, it is the archive itself.
        allow_folder: Whether a glob or a folder will do.

    Raises:
        BadData: There is none, or an empty one.
    """
    path, _ = split_pattern(path)
    place = Path(at_home(path))
    if place.is_dir() and allow_folder:
        files = sorted(file for file in place.iterdir() if _is_data(file))
        if not files:
            mend = f"check the path; with the folders in it: {path}/**/*.txt, for example"
            raise BadData(path, "files in the folder", "none", mend)
    elif place.is_dir():
        raise BadData(path, "a file", "a folder", "name one file in it")
    elif place.exists() or place.is_symlink():
        files = [place]
    elif glob.has_magic(path) and allow_folder:
        matches = glob.glob(str(place), recursive=True)
        files = sorted(found for found in map(Path, matches) if _is_file(found))
        if not files:
            mend = f"check the pattern; the current folder is {Path.cwd()}"
            raise BadData(path, "files that match", "none", mend)
    else:
        raise BadData(path, "a file", "no such file", _nearby(place))
    for file in files:
        if not file.exists():
            mend = "mend the link, or remove it"
            raise BadData(str(file), "a file", "a link to something that is not there", mend)
        if not os.access(file, os.R_OK):
            raise BadData(str(file), "a file that can be read", "no permission", "chmod +r it")
        if file.stat().st_size == 0:
            raise BadData(str(file), "rows", "an empty file", "remove it, or write it again")
    return files


def open_files(path: str, folder: Path) -> Iterator[File]:
    """The files that a path stands for; those of an archive exist until the next one.

    Args:
        path: As in the recipe.
        folder: Where an archive is unpacked to.

    Raises:
        BadData: There is none, or it cannot be read.
    """
    _, pattern = split_pattern(path)
    for found, below in _with_below(path):
        if is_archive(found):
            with unpacked(found, pattern, folder) as members:
                for name, member in members:
                    yield File(f"{found}!{name}", name, member)
        else:
            yield File(str(found), below, found)


def hashed_files(path: str) -> Iterator[Hashed]:
    """The content of the files that a path stands for, in the order of `open_files`.

    Archives are read without unpacking.

    Raises:
        BadData: As for `open_files`.
    """
    _, pattern = split_pattern(path)
    for found, below in _with_below(path):
        if is_archive(found):
            digests: dict[str, str] = {}
            for name, content in read_members(found, pattern):
                hashed = hashlib.sha256()
                for chunk in content:
                    hashed.update(chunk)
                digests[name] = hashed.hexdigest()
            for name, digest in sorted(digests.items()):
                yield Hashed(f"{found}!{name}", name, digest)
        else:
            yield Hashed(str(found), below, digest_of_file(found))


@contextmanager
def open_single(path: str, folder: Path) -> Iterator[File]:
    """The one file that a path stands for, unpacked while the `with` block lasts.

    Raises:
        BadData: There is none, or there are several.
    """
    [found] = find_files(path, allow_folder=False)
    if not is_archive(found):
        yield File(str(found), found.name, found)
        return
    with unpacked(found, split_pattern(path)[1], folder) as members:
        if len(members) > 1:
            several = f"{members[0][0]} and {members[1][0]}"
            raise BadData(path, "one file", several, f"name it: {found}!{members[0][0]}")
        for name, member in members:
            yield File(f"{found}!{name}", name, member)


def path_fields(name: str, below: str, pattern: str | None) -> dict[str, str | None]:
    """The fields that a file's path says.

    Args:
        name: The file, for the message.
        below: Its path below the source.
        pattern: Regular expression with named groups; None where the recipe has none.

    Raises:
        BadData: It is not found, or no text.
    """
    if pattern is None:
        return {}
    match = re.search(pattern, below)
    if match is None:
        expected = f"source.path_fields in the path: {pattern}"
        mend = "mend the expression, or choose fewer files with source.path"
        raise BadData(name, expected, f"'{below}'", mend)
    fields = match.groupdict()
    try:
        "".join(filter(None, fields.values())).encode()
    except UnicodeEncodeError:
        where = name.encode(errors="backslashreplace").decode()
        expected = "UTF-8 in the part of the path that source.path_fields takes"
        raise BadData(where, expected, "other bytes", "rename the file") from None
    return fields


def _with_below(path: str) -> Iterator[tuple[Path, str]]:
    """The files that are found, each with its path below the folder or the first wildcard."""
    place = Path(at_home(split_pattern(path)[0]))
    root = place
    if not place.exists():
        root = Path(*takewhile(lambda part: not glob.has_magic(part), place.parts))
    for file in find_files(path):
        yield file, file.name if file == root else file.relative_to(root).as_posix()


def _is_data(file: Path) -> bool:
    return _is_file(file) and not file.name.startswith((".", "_"))


def _is_file(path: Path) -> bool:
    """Whether it is a file, or a link to nothing, which would be missed in silence."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _nearby(place: Path) -> str:
    if not place.parent.is_dir():
        return f"there is no folder {place.parent}; the current folder is {Path.cwd()}"
    names = sorted(other.name for other in place.parent.iterdir())
    close = difflib.get_close_matches(place.name, names, n=3)
    if close:
        return f"did you mean {' or '.join(str(place.parent / name) for name in close)}?"
    return f"check the path; the current folder is {Path.cwd()}"
