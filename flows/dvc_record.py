"""Tells DVC what a flow made, where a `dvc.yaml` describes the same workspace.

After it `dvc status` is clean, as after `dvc repro`; `dvc.lock` has the new digests.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from tasks.stage import Artifact

logger = logging.getLogger("retune")


def record_in_dvc(workspace: Path, artifacts: Sequence[Artifact]) -> None:
    """Commit the stages of `dvc.yaml` whose outputs lie in a workspace.

    Does nothing where the current folder is no DVC repository, where its `dvc.yaml` has no such
    stage, or where every artifact was reused.

    Args:
        workspace: Folder of the artifacts.
        artifacts: What the flow made or reused.
    """
    if not (Path(".dvc").is_dir() and Path("dvc.yaml").is_file()):
        return
    if all(artifact.state == "reused" for artifact in artifacts):
        return
    from dvc.repo import Repo  # takes seconds, and most runs don't need it

    logging.getLogger("dvc").setLevel(logging.ERROR)  # a line for every stage
    with Repo(".") as repo:
        made_here = [
            stage.addressing
            for stage in repo.index.stages
            if any(Path(out.fs_path).is_relative_to(workspace) for out in stage.outs)
        ]
        for name in made_here:
            repo.commit(name, force=True)
    if made_here:
        logger.info("dvc: recorded %d stages in dvc.lock", len(made_here))
