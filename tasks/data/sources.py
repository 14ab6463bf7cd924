"""From the `source` section of a task to what is to be read, and to the digest of its content.

    {path: reviews/*.csv, test: "held_back.zip!*.csv"}
    ->  Part("reviews/a.csv", None, rows)  Part("reviews/b.csv", None, rows)
        Part("held_back.zip!c.csv", "test", rows)

The digest depends on what the files contain and in which order they are read, never on where they
lie - but for what the recipe takes from their path, `path_fields`.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.config import Source
from tasks.config.section import at_home
from tasks.data import sources_dvc
from tasks.data.readers import Rows, format_of, named_format, read_rows
from tasks.data.readers_parallel import read_parallel
from tasks.data.readers_tables import load_hub, load_saved, read_dataset
from tasks.data.ready_made import side_of
from tasks.data.sources_files import (
    File,
    find_files,
    hashed_files,
    open_files,
    open_single,
    path_fields,
)
from tasks.errors import BadData
from tasks.stage import digest_of_folder, digest_of_json

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["Part", "digest_of", "find_files", "is_saved", "parts_of"]

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
        scratch: Folder for what has to be fetched from DVC, or unpacked, first. A file of an
            archive is there until the next part is asked for.

    Raises:
        BadData: A file that is not there, or not what it should be.
    """
    if source.hub is not None:
        loaded = load_hub(source.hub, source.subset, str(source.revision))
        yield from _dataset_parts(f"hub:{source.hub}", loaded, source.splits)
    elif source.dvc is not None:
        yield from _path_parts(sources_dvc.fetch(source.dvc, scratch), None, source, scratch)
    else:
        yield from _path_parts(str(source.path), None, source, scratch)
    for name, split in _ready_made(source):
        yield from _path_parts(name, split, source, scratch)


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
        if source.format == "auto":
            digests["dvc ending"] = Path(source.dvc.path).suffixes[-2:]
        if source.path_fields is not None:
            digests["dvc path"] = source.dvc.path
        if source.parallel:
            digests["parallel"] = _digests_by_field(source.parallel)
    else:
        digests["path"] = _path_digests(str(source.path), None, source)
    for path, split in _ready_made(source):
        digests[split] = _path_digests(path, split, source)
    return digest_of_json(digests)


def size_of(source: Source) -> int | None:
    """Bytes of what is read, as far as they are on this disk; None for what is elsewhere.

    Raises:
        BadData: A file that is not there.
    """
    paths = [*source.parallel.values(), source.path, source.validation, source.test]
    if source.dvc is not None:
        local = sources_dvc.in_working_tree(source.dvc)
        if local is None:
            return None
        paths.append(local)
    if source.hub is not None:
        return None
    total = 0
    for path in filter(None, paths):
        files = Path(at_home(path)).rglob("*") if is_saved(path, source) else find_files(path)
        total += sum(file.stat().st_size for file in files if file.is_file())
    return total


def is_saved(path: str, source: Source) -> bool:
    """Whether a path of a source is a folder that `datasets` saved."""
    folder = Path(at_home(path))
    marks = ("state.json", "dataset_dict.json")
    return source.format == "saved" or (
        source.format == "auto" and any((folder / mark).is_file() for mark in marks)
    )


def _ready_made(source: Source) -> list[tuple[str, str]]:
    given = ((source.validation, "validation"), (source.test, "test"))
    return [(path, split) for path, split in given if path is not None]


def _path_parts(path: str, split: str | None, source: Source, scratch: Path) -> Iterator[Part]:
    if is_saved(path, source):
        splits = source.splits if split is None else {}
        for part in _dataset_parts(path, load_saved(Path(at_home(path))), splits):
            yield Part(part.name, split or part.split, part.rows)
    elif source.splits and source.split_column is None and split is None:
        expected = "a data set of several splits, or source.split_column, with source.splits"
        raise BadData(path, expected, "files without splits", "leave source.splits out")
    elif source.format == "parallel":
        yield from _parallel_part(path, split, source, scratch)
    else:
        for file in open_files(path, scratch / "archive"):
            yield Part(file.name, split, partial(_rows, file, source))


def _rows(file: File, source: Source) -> Rows:
    """The rows of a file, with the fields that its path says."""
    fields = path_fields(file.name, file.below, source.path_fields)
    try:
        file_format = format_of(file.path, source, file.name)
        for line, row in read_rows(file.path, file_format, source):
            yield line, {**row, **fields} if fields and isinstance(row, dict) else row
    except BadData as error:
        raise file.named(error) from None


def _parallel_part(path: str, split: str | None, source: Source, scratch: Path) -> Iterator[Part]:
    with ExitStack() as stack:
        files = {
            field: stack.enter_context(open_single(name, scratch / f"archive-{number}"))
            for number, (field, name) in enumerate(_parallel_paths(path, split, source).items())
        }
        yield Part(files["source"].name, split, partial(_parallel_rows, files, source.encoding))


def _parallel_rows(files: Mapping[str, File], encoding: str) -> Rows:
    others = {field: file.path for field, file in files.items() if field != "source"}
    try:
        yield from read_parallel(files["source"].path, others, encoding)
    except BadData as error:
        for file in files.values():
            error = file.named(error)
        raise error from None


def _path_digests(path: str, split: str | None, source: Source) -> list[list[str]]:
    if is_saved(path, source):
        folder = Path(at_home(path))
        if not folder.is_dir():
            raise BadData(path, "a folder written by datasets.Dataset.save_to_disk", "no folder")
        if source.path_fields is not None:
            expected = "files that are read one by one, with source.path_fields"
            raise BadData(path, expected, "a folder that `datasets` saved", "leave path_fields out")
        return [["saved", digest_of_folder(folder)]]
    if source.format == "parallel":
        return _digests_by_field(_parallel_paths(path, split, source))
    digests = []
    for file in hashed_files(path):
        digest = [named_format(file.name, source), file.digest]
        if fields := path_fields(file.name, file.below, source.path_fields):
            digest.append(digest_of_json(fields))
        digests.append(digest)
    return digests


def _digests_by_field(paths: Mapping[str, str]) -> list[list[str]]:
    return [[field, _single_digest(path)] for field, path in sorted(paths.items())]


def _single_digest(path: str) -> str:
    find_files(path, allow_folder=False)
    return digest_of_json(sorted(file.digest for file in hashed_files(path)))


def _parallel_paths(path: str, split: str | None, source: Source) -> dict[str, str]:
    """The path of the field `source`, and those of the other fields.

    A ready-made split has its other files beside it, called as theirs are: `valid.java` goes with
    `valid.cs` where `train.java` goes with `train.cs`.
    """
    whole = source.path if source.dvc is None else str(Path(source.dvc.repo, source.dvc.path))
    others = {
        field: other if split is None else _counterpart(str(whole), other, path)
        for field, other in source.parallel.items()
    }
    return {"source": path, **others}


def _counterpart(path: str, other: str, ready_made: str) -> str:
    """`ready_made` with what tells `path` from `other` replaced: java by cs, src/ by tgt/."""
    here, there = (re.split(r"([\W_])", name) for name in (path, other))
    start = len(os.path.commonprefix([here, there]))
    end = len(os.path.commonprefix([here[start:][::-1], there[start:][::-1]]))
    old, new = ("".join(words[start : len(words) - end]) for words in (here, there))
    head, found, tail = ready_made.rpartition(old)
    if not old or not found:
        mend = f"call it like {path}, which must have this part"
        raise BadData(ready_made, f"'{old}' in the name, to find the file beside it", "none", mend)
    return head + new + tail


def _dataset_parts(
    name: str, datasets: "Mapping[str, Dataset]", splits: Mapping[str, str]
) -> Iterator[Part]:
    if missing := sorted(splits.keys() - datasets.keys()):
        found = f"only {', '.join(filter(None, datasets)) or 'one split without a name'}"
        expected = f"the splits of source.splits: {', '.join(missing)}"
        raise BadData(name, expected, found, "name splits that are there")
    for split, dataset in datasets.items():
        ready_made = side_of(split, splits)
        if split and ready_made is None:
            # Such as `unsupervised`: what it is for is not known here, so it is not used.
            mend = "" if splits else "; source.splits says what splits are used as"
            rows = f"{dataset.num_rows:,} rows"
            logger.warning("ingest: split '%s' of %s left out (%s)%s", split, name, rows, mend)
            continue
        place = f"{name}/{split}".rstrip("/")
        yield Part(place, ready_made, partial(read_dataset, place, dataset))
