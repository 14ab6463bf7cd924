"""A child run in MLflow for each candidate of a search, found again after a crash.

with child_run(workspace, "replay") as run_id: log_child(run_id, {"replay": 0.02}, {"drop": 0.01})
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Param, ViewType
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from tasks.errors import RetuneError
from tasks.tracking.connection import connect, retry_while_down
from tasks.tracking.run import current_run, flatten, log_metrics, log_tags, logger

NAME_TAG = "retune.candidate"
CHOSEN_TAG = "retune.chosen"


@contextmanager
def child_run(workspace: Path, name: str) -> Iterator[str | None]:
    """Keep the MLflow run of a candidate open for a block, as a child of this workspace's run.

    Args:
        workspace: The recipe's folder.
        name: The candidate's; the same name goes on with the same run.

    Yields:
        The child's id; None where no run is under way in the workspace.
    """
    parent = current_run(workspace)
    if parent is None:
        yield None
        return
    run_id = retry_while_down(lambda: _opened(parent, name))
    try:
        yield run_id
    except BaseException:  # Ctrl-C and a cancelled flow leave a failed run as well
        _fail(run_id)
        raise
    retry_while_down(lambda: connect().set_terminated(run_id, "FINISHED"))


def log_child(run_id: str | None, params: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Log what a candidate is and came to; waits while the server is down."""
    if run_id is not None:
        given = [Param(name, value) for name, value in flatten(params).items()]
        retry_while_down(lambda: connect().log_batch(run_id, params=given))
        log_metrics(run_id, metrics)


def mark_chosen(workspace: Path, name: str) -> None:
    """Tag the run of the candidate that goes on."""
    parent = current_run(workspace)
    if parent is not None:
        log_tags(retry_while_down(lambda: _found(parent, name)), {CHOSEN_TAG: "true"})


def _opened(parent: str, name: str) -> str:
    run_id = _found(parent, name)
    connect().update_run(run_id, status="RUNNING")
    return run_id


def _found(parent: str, name: str) -> str:
    """The child of this name; made where there is none yet."""
    client = connect()
    experiment_id = client.get_run(parent).info.experiment_id
    filtered = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}' and tags.`{NAME_TAG}` = '{name}'"
    found = client.search_runs([experiment_id], filtered, ViewType.ACTIVE_ONLY, max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {MLFLOW_PARENT_RUN_ID: parent, NAME_TAG: name}
    return str(client.create_run(experiment_id, tags=tags, run_name=name).info.run_id)


def _fail(run_id: str) -> None:
    try:
        retry_while_down(lambda: connect().set_terminated(run_id, "FAILED"), 5.0)
    except RetuneError as error:
        logger.warning("the run of a candidate could not be marked as failed: %s", error)
