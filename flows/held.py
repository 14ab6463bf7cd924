"""One run at a time in a workspace, whichever flow or deployment it is of.

with held(workspace):      # waits until no other run holds it
    records = stages.ingest(recipe, workspace)
"""

from contextlib import AbstractContextManager
from pathlib import Path

from prefect import runtime

from tasks.lock import workspace_lock


def held(workspace: Path) -> AbstractContextManager[None]:
    """Hold a workspace: a deployed run waits for it, one in a terminal is told who has it.

    Raises:
        BadWorkspace: It can't be written to, or another run holds it and nobody waits.
    """
    return workspace_lock(workspace, waits=bool(runtime.deployment.id))
