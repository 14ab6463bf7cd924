"""Tells DVC what a flow made, where a `dvc.yaml` describes the same workspace.

After it `dvc status` is clean, as after `dvc repro`; `dvc.lock` has the new digests.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWED = ".dvc-owed"
"""File in the workspace while `dvc.lock` is behind it."""

logger = logging.getLogger("retune")


def record_in_dvc(workspace: Path, is_new: bool) -> None:
    """Commit the stages of `dvc.yaml` whose outputs lie in a workspace, where something is new.

    Does nothing where the current folder is no DVC repository that can be written to, or where
    its `dvc.yaml` has no such stage. What DVC refuses is a warning, since the model is registered,
    and made up for by the next call.

    Args:
        workspace: Folder of the artifacts.
        is_new: Whether any of them was made, and not reused.
    """
    if not (os.access(".dvc", os.W_OK) and Path("dvc.yaml").is_file()):
        return
    owed = workspace / OWED
    if not is_new and not owed.exists():
        return
    owed.touch()
    from dvc.repo import Repo  # takes seconds, and most runs don't need it

    logging.getLogger("dvc").setLevel(logging.ERROR)  # a line for every stage
    with _refusals_logged(), Repo(".") as repo:
        made_here = [
            stage.addressing
            for stage in repo.index.stages
            if any(Path(out.fs_path).is_relative_to(workspace) for out in stage.outs)
        ]
        for name in made_here:
            repo.commit(name, force=True)
        owed.unlink()
        if made_here:
            logger.info("dvc: recorded %d stages in dvc.lock, to be committed", len(made_here))


@contextmanager
def _refusals_logged() -> Iterator[None]:
    from dvc.exceptions import DvcException

    try:
        yield
    except (DvcException, OSError) as error:
        logger.warning("dvc: dvc.lock is not up to date: %s", error)
