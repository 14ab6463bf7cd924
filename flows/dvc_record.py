"""Tells DVC what a flow made, where a `dvc.yaml` describes the same workspace.

After it `dvc status` is clean, as after `dvc repro`; `dvc.lock` has the new digests.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("retune")


def record_in_dvc(workspace: Path) -> None:
    """Commit the stages of `dvc.yaml` whose outputs lie in a workspace, where DVC has others.

    Does nothing where the current folder is no DVC repository that can be written to, or where
    its `dvc.yaml` has no such stage. What DVC refuses is a warning: the model is registered.

    Args:
        workspace: Folder of the artifacts.
    """
    if not (os.access(".dvc", os.W_OK) and Path("dvc.yaml").is_file()):
        return
    from dvc.repo import Repo  # takes seconds

    logging.getLogger("dvc").setLevel(logging.ERROR)  # a line for every stage
    with _refusals_told(), Repo(".") as repo:
        made_here = [
            stage.addressing
            for stage in repo.index.stages
            if any(Path(out.fs_path).is_relative_to(workspace) for out in stage.outs)
        ]
        if not made_here or not repo.status(made_here):
            return
        for name in made_here:
            repo.commit(name, force=True)
        logger.info("dvc: recorded %d stages in dvc.lock", len(made_here))


@contextmanager
def _refusals_told() -> Iterator[None]:
    from dvc.exceptions import DvcException

    try:
        yield
    except (DvcException, OSError) as error:
        logger.warning("dvc: dvc.lock is not up to date: %s", error)
