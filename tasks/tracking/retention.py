"""What of the registry and the state folder may go: old versions, and what killed commands left.

removable(all_versions("support-summarizer"), keep=3) -> [Version(version="2", ...), ...]
"""

import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from tasks.errors import BadWorkspace
from tasks.home import scratch_home, state_home
from tasks.lock import registry_lock, workspace_lock
from tasks.tracking.connection import connect, is_missing, retry_while_down
from tasks.tracking.promotion import predecessor, settled_champion
from tasks.tracking.registry import CHAMPION, KEY_TAG, Version, all_versions

COPY_OF = "models:/"
"""A version's source where MLflow has copied it from another one, whose files it shares."""

OLD_S = 7 * 24 * 3600.0
"""Scratch that nothing has written to for so long (seconds) is not going to be resumed."""


@dataclass(frozen=True)
class Garbage:
    """What nothing needs any more: versions, and folders of scratch."""

    versions: tuple[Version, ...]
    scratch: tuple[Path, ...]


def find_garbage(keep: int) -> Garbage:
    """Look through the registry and the state folder.

    Args:
        keep: Newest versions of each model that stay in any case.
    """
    versions = all_versions()
    models = sorted({version.model for version in versions})
    gone = [
        version
        for model in models
        for version in removable([entry for entry in versions if entry.model == model], keep)
    ]
    return Garbage(tuple(gone), tuple(_old_scratch()))


def removable(versions: Sequence[Version], keep: int) -> list[Version]:
    """The versions of one model that may be deleted.

    Args:
        versions: All of them.
        keep: Newest ones that stay in any case.

    Returns:
        Those that Retune made, without alias, neither among the newest of its own nor what a
        rollback leads back to. What somebody else registered, or copied, is not Retune's to delete.
    """
    own = [version for version in versions if _is_own(version)]
    newest = sorted(own, key=lambda version: int(version.version), reverse=True)[:keep]
    champions = [version for version in versions if CHAMPION in version.aliases]
    needed = {version.version for version in newest}
    needed |= {number for champion in champions if (number := predecessor(champion))}
    return [v for v in own if not v.aliases and v.version not in needed]


def delete(garbage: Garbage, keep: int) -> Garbage:
    """Delete what was found, unless it is needed by now.

    Args:
        garbage: What `find_garbage` found.
        keep: As there.

    Returns:
        What was deleted.
    """
    gone: list[Version] = []
    for model in sorted({version.model for version in garbage.versions}):
        wanted = {version.version for version in garbage.versions if version.model == model}
        with registry_lock(model):  # no alias moves to what is being deleted
            settled_champion(model)
            for version in removable(all_versions(model), keep):
                if version.version in wanted:
                    _delete_version(version)
                    gone.append(version)
    for folder in garbage.scratch:
        _delete_scratch(folder)
    return Garbage(tuple(gone), tuple(path for path in garbage.scratch if not path.exists()))


def _is_own(version: Version) -> bool:
    return KEY_TAG in version.tags and not version.source.startswith(COPY_OF)


def _delete_version(version: Version) -> None:
    """The version first: a crash leaves files without a version, never the contrary."""
    client = connect()
    retry_while_down(lambda: client.delete_model_version(version.model, version.version))
    if retry_while_down(lambda: _is_used(version.source)):
        return
    repository: Any = get_artifact_repository(version.source)  # untyped in mlflow
    retry_while_down(repository.delete_artifacts)
    model_id = PurePosixPath(version.source).parent.name  # .../models/m-7c01.../artifacts
    try:
        retry_while_down(lambda: client.delete_logged_model(model_id))
    except MlflowException as error:
        if not is_missing(error):  # somebody was quicker
            raise


def _is_used(source: str) -> bool:
    """Whether a version of any registered model has its files there, as a copy of another too."""
    client = connect()
    if client.search_model_versions(f"source_path = '{source}'"):
        return True
    copies = [version for version in all_versions() if version.source.startswith(COPY_OF)]
    return any(
        client.get_model_version_download_uri(copy.model, copy.version) == source for copy in copies
    )


def _delete_scratch(folder: Path) -> None:
    """Unless a run has taken it up meanwhile."""
    is_shared = folder.parent == scratch_home()
    with suppress(BadWorkspace), nullcontext() if is_shared else workspace_lock(folder.parent):
        if _is_old(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _old_scratch() -> list[Path]:
    found = [path for path in scratch_home().glob("*") if _is_old(path)]
    for workspace in sorted((state_home() / "workspaces").glob("*/")):
        try:
            with workspace_lock(workspace):
                inside = [*workspace.glob(".*.scratch"), *workspace.glob(".*.partial")]
        except BadWorkspace:
            continue  # a run is under way
        found += [path for path in inside if _is_old(path)]
    return found


def _is_old(folder: Path) -> bool:
    times = [path.stat().st_mtime for path in (folder, *folder.rglob("*")) if path.exists()]
    return max(times, default=time.time()) < time.time() - OLD_S
