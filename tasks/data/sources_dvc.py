"""Files tracked by DVC: `{repo: ../data-registry, path: reviews.jsonl, rev: v2.1}`.

The path may name files in an archive: `reviews.zip!*.csv`. The digest is then that of the archive
and the pattern, since the archive may have to be fetched to be read.

Without a revision, what lies in a local working tree is read as it is. All else comes through
DVC: from its cache, or from its remote storage.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.config.section import at_home
from tasks.config.task import DvcFile
from tasks.data.sources_archives import split_pattern
from tasks.errors import BadData, first_line
from tasks.stage import digest_of_file, digest_of_folder

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem


def digest(file: DvcFile) -> str:
    """A hash of the content: sha256 in the working tree, what DVC or Git keeps it by elsewhere.

    Raises:
        BadData: No such repository, revision or file.
    """
    file, pattern = _split(file)
    local = _in_working_tree(file)
    if local is not None:
        return (digest_of_folder(local) if local.is_dir() else digest_of_file(local)) + pattern
    _, info = _look_up(file)
    tracked = info.get("dvc_info") or {}
    if "md5" in tracked:
        return str(tracked["md5"]) + pattern
    raise BadData(_where(file), "a file that DVC tracks", "one that it does not", "dvc add it")


def commit(file: DvcFile) -> str | None:
    """The Git commit that a file is read at; None for what lies in a working tree.

    Raises:
        BadData: No such repository, revision or file.
    """
    file, _ = _split(file)
    if _in_working_tree(file) is not None:
        return None
    file_system, _ = _look_up(file)
    return str(file_system.repo.get_rev())


def fetch(file: DvcFile, folder: Path) -> str:
    """A local path with the content: the one in the working tree, or a copy in `folder`.

    Files in an archive are named as in the recipe: `<folder>/dvc/reviews.zip!*.csv`.

    Raises:
        BadData: No such repository, revision or file, or its content is nowhere to be had.
    """
    from dvc.exceptions import DvcException

    local = in_working_tree(file)
    if local is not None:
        return local
    file, pattern = _split(file)
    file_system, _ = _look_up(file)
    copy = folder / "dvc" / Path(file.path).name
    if copy.is_dir():
        shutil.rmtree(copy)
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        file_system.get(file.path, str(copy), recursive=True)
    except (DvcException, FileNotFoundError) as error:
        mend = "dvc push it from where it was added, and check the remote storage"
        raise BadData(_where(file), "content in DVC's cache or remote", str(error), mend) from None
    return f"{copy}{pattern}"


def in_working_tree(file: DvcFile) -> str | None:
    """The local path, as `fetch` gives it, of what need not be fetched; None for other files."""
    file, pattern = _split(file)
    local = _in_working_tree(file)
    return None if local is None else f"{local}{pattern}"


def _split(file: DvcFile) -> tuple[DvcFile, str]:
    """The file that DVC tracks, and what of it is meant: `!*.csv`, or nothing."""
    path, pattern = split_pattern(file.path)
    return file.model_copy(update={"path": path}), pattern and f"!{pattern}"


def _in_working_tree(file: DvcFile) -> Path | None:
    path = Path(at_home(file.repo), file.path)
    return path if file.rev is None and path.exists() else None


def _look_up(file: DvcFile) -> "tuple[DVCFileSystem, dict[str, Any]]":
    from dvc.api import DVCFileSystem  # takes a second, and most recipes do without
    from dvc.exceptions import DvcException
    from dvc.scm import CloneError

    try:
        file_system = DVCFileSystem(url=at_home(file.repo), rev=file.rev)
        return file_system, file_system.info(file.path)
    except (DvcException, CloneError, FileNotFoundError, NotADirectoryError) as error:
        found = first_line(error) or type(error).__name__
        mend = "check source.dvc: repo, path and rev"
        raise BadData(_where(file), "a file that DVC tracks", found, mend) from None


def _where(file: DvcFile) -> str:
    return f"{file.repo}:{file.path}@{file.rev or 'working tree'}"
