"""What of the registry and the state folder may go: old versions, and what killed commands left.

removable(all_versions("support-summarizer"), keep=3) -> [Version(version="2", ...), ...]
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from tasks.errors import BadWorkspace
from tasks.home import scratch_home, state_home
from tasks.lock import registry_lock, workspace_lock
from tasks.tracking.connection import connect, retry_while_down
from tasks.tracking.promotion import predecessor, settled_champion
from tasks.tracking.registry import CHAMPION, Version, all_versions

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
        Those without alias that are neither among the newest nor what a rollback leads back to.
    """
    newest = sorted(versions, key=lambda version: int(version.version), reverse=True)[:keep]
    champions = [version for version in versions if CHAMPION in version.aliases]
    needed = {version.version for version in newest}
    needed |= {number for champion in champions if (number := predecessor(champion))}
    return [v for v in versions if not v.aliases and v.version not in needed]


def delete(garbage: Garbage, keep: int) -> Garbage:
    """Delete what was found, unless it has come to be needed meanwhile.

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
        shutil.rmtree(folder, ignore_errors=True)
    return Garbage(tuple(gone), tuple(path for path in garbage.scratch if not path.exists()))


def _delete_version(version: Version) -> None:
    """The version first: a crash leaves files without a version, never the contrary."""
    client = connect()
    entry = retry_while_down(lambda: client.get_model_version(version.model, version.version))
    source, model_id = str(entry.source), entry.model_id
    retry_while_down(lambda: client.delete_model_version(version.model, version.version))
    shared = retry_while_down(lambda: client.search_model_versions(f"source_path = '{source}'"))
    if shared:  # registered under another name as well
        return
    repository: Any = get_artifact_repository(source)  # untyped in mlflow
    retry_while_down(repository.delete_artifacts)
    if model_id:
        retry_while_down(lambda: client.delete_logged_model(model_id))


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
