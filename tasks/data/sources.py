"""From the `source` section of a task to what is to be read, and to the digest of its content.

    {path: reviews/*.csv, test: held_back.csv}
    ->  Part("reviews/a.csv", None, rows)  Part("reviews/b.csv", None, rows)
        Part("held_back.csv", "test", rows)

The digest depends on what the files contain, never on where they lie.
"""

import difflib
import glob
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.config import Source
from tasks.data import sources_dvc
from tasks.data.readers import Rows, format_of, read_rows
from tasks.data.readers_parallel import read_parallel
from tasks.data.readers_tables import load_hub, load_saved, read_dataset
from tasks.data.records import READY_MADE
from tasks.errors import BadData
from tasks.stage import digest_of_file, digest_of_folder, digest_of_json

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger("retune")


@dataclass(frozen=True)
class Part:
    """One thing to read: a file, or a split of a data set.

    Attributes:
        name: For messages and the reject file.
        split: Its ready-made split; None where the source does not say.
        rows: Starts reading it.
    """

    name: str
    split: str | None
    rows: Callable[[], Rows]


def parts_of(source: Source, scratch: Path) -> Iterator[Part]:
    """What there is to read, in order: the source, then its validation and its test file.

    Args:
        source: The section.
        scratch: Folder for what has to be fetched from DVC first.

    Raises:
        BadData: A file that is not there, or not what it should be.
    """
    if source.hub is not None:
        loaded = load_hub(source.hub, source.subset, str(source.revision))
        yield from _dataset_parts(f"hub:{source.hub}", loaded)
    elif source.dvc is not None:
        path = sources_dvc.fetch(source.dvc, scratch)
        yield from _path_parts(str(path), None, source)
    else:
        yield from _path_parts(str(source.path), None, source)
    for name, split in _ready_made(source):
        yield from _path_parts(name, split, source)


def digest_of(source: Source) -> str:
    """sha256 (hex) over the content of everything that `parts_of` would read.

    Raises:
        BadData: A file that is not there.
    """
    digests: dict[str, Any] = {}
    if source.hub is not None:
        digests["hub"] = [source.hub, source.subset, source.revision]
    elif source.dvc is not None:
        digests["dvc"] = sources_dvc.digest(source.dvc)
    else:
        digests["path"] = _path_digests(str(source.path), None, source)
    for path, split in _ready_made(source):
        digests[split] = _path_digests(path, split, source)
    return digest_of_json(digests)


def find_files(path: str, allow_folder: bool = True) -> list[Path]:
    """The files that a path, a glob or a folder stands for, sorted by name.

    Args:
        path: As in the recipe. Of a folder, hidden files and those that start with "_" are left
            out, and so are its folders.
        allow_folder: Whether a glob or a folder will do.

    Raises:
        BadData: There is none, or an empty one.
    """
    place = Path(path).expanduser()
    if place.is_dir() and allow_folder:
        files = sorted(file for file in place.iterdir() if _is_data(file))
        if not files:
            raise BadData(path, "files in the folder", "none", "check the path")
    elif place.is_dir():
        raise BadData(path, "a file", "a folder", "name one file in it")
    elif place.exists():
        files = [place]
    elif glob.has_magic(path) and allow_folder:
        matches = glob.glob(str(place), recursive=True)
        files = sorted(Path(match) for match in matches if Path(match).is_file())
        if not files:
            mend = f"check the pattern; the current folder is {Path.cwd()}"
            raise BadData(path, "files that match", "none", mend)
    else:
        raise BadData(path, "a file", "no such file", _nearby(place))
    for file in files:
        if not os.access(file, os.R_OK):
            raise BadData(str(file), "a file that can be read", "no permission", "chmod +r it")
        if file.stat().st_size == 0:
            raise BadData(str(file), "rows", "an empty file", "remove it, or write it again")
    return files


def _is_data(file: Path) -> bool:
    return file.is_file() and not file.name.startswith((".", "_"))


def _nearby(place: Path) -> str:
    if not place.parent.is_dir():
        return f"there is no folder {place.parent}; the current folder is {Path.cwd()}"
    names = sorted(other.name for other in place.parent.iterdir())
    close = difflib.get_close_matches(place.name, names, n=3)
    if close:
        return f"did you mean {' or '.join(str(place.parent / name) for name in close)}?"
    return f"check the path; the current folder is {Path.cwd()}"


def _ready_made(source: Source) -> list[tuple[str, str]]:
    given = ((source.validation, "validation"), (source.test, "test"))
    return [(path, split) for path, split in given if path is not None]


def _path_parts(path: str, split: str | None, source: Source) -> Iterator[Part]:
    if _is_saved(path, source):
        for part in _dataset_parts(path, load_saved(Path(path))):
            yield Part(part.name, split or part.split, part.rows)
    elif source.format == "parallel":
        file, others = _parallel_files(path, split, source)
        yield Part(str(file), split, partial(read_parallel, file, others, source.encoding))
    else:
        files = [(file, format_of(file, source)) for file in find_files(path)]
        for file, file_format in files:
            yield Part(str(file), split, partial(read_rows, file, file_format, source))


def _path_digests(path: str, split: str | None, source: Source) -> list[list[str]]:
    if _is_saved(path, source):
        if not Path(path).is_dir():
            raise BadData(path, "a folder written by datasets.Dataset.save_to_disk", "no folder")
        return [["saved", digest_of_folder(Path(path))]]
    if source.format == "parallel":
        file, others = _parallel_files(path, split, source)
        files = {"source": file, **others}
        return [[field, digest_of_file(file)] for field, file in sorted(files.items())]
    return sorted([format_of(file, source), digest_of_file(file)] for file in find_files(path))


def _is_saved(path: str, source: Source) -> bool:
    marks = ("state.json", "dataset_dict.json")
    return source.format == "saved" or (
        source.format == "auto" and any((Path(path) / mark).is_file() for mark in marks)
    )


def _parallel_files(
    path: str, split: str | None, source: Source
) -> tuple[Path, Mapping[str, Path]]:
    """The file of the field `source`, and those of the other fields.

    A ready-made split has its other files beside it, called as theirs are: `valid.java` goes with
    `valid.cs` where `train.java` goes with `train.cs`.
    """
    [file] = find_files(path, allow_folder=False)
    others = {}
    for field, other in source.parallel.items():
        name = other if split is None else _counterpart(str(source.path), other, path)
        [others[field]] = find_files(name, allow_folder=False)
    return file, others


def _counterpart(path: str, other: str, ready_made: str) -> str:
    """`ready_made` with what tells `path` from `other` replaced: java by cs, src/ by tgt/."""
    here, there = (re.split(r"([\W_])", name) for name in (path, other))
    start = len(os.path.commonprefix([here, there]))
    end = len(os.path.commonprefix([here[start:][::-1], there[start:][::-1]]))
    old, new = ("".join(words[start : len(words) - end]) for words in (here, there))
    head, found, tail = ready_made.rpartition(old)
    if not old or not found:
        mend = "call it like `source.path`, which must have this part"
        raise BadData(ready_made, f"'{old}' in the name, to find the file beside it", "none", mend)
    return head + new + tail


def _dataset_parts(name: str, splits: "Mapping[str, Dataset]") -> Iterator[Part]:
    for split, dataset in splits.items():
        ready_made = READY_MADE.get(split)
        if split and ready_made is None:
            # Such as `unsupervised`: what it is for is not known here, so it is not used.
            logger.warning("ingest: split '%s' of %s left out", split, name)
            continue
        yield Part(f"{name}/{split}".rstrip("/"), ready_made, partial(read_dataset, dataset))
