"""How a stage becomes a Prefect task: name, version, retries, timeout, and the state "Reused".

    split = as_task(tasks.split.STAGE, timeout_s=HOUR_S)
    parts = split(recipe, workspace, examples)      # inside a flow; Artifact(stage="split", ...)

Prefect caches nothing here: a stage knows by its manifest whether what it made is still valid.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import requests
from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from tasks.config import Recipe
from tasks.errors import ChildFailed, behind
from tasks.stage import Artifact, Inputs, S, Stage

StageTask = Callable[..., Artifact]
"""Called inside a flow with the recipe, the workspace and the artifacts that the stage needs."""

IsTransient = Callable[[BaseException], bool]

BACKOFF_S = 10.0
JITTER = 0.5

logger = logging.getLogger("retune")


def child_crashed(error: BaseException) -> bool:
    """Whether the training or scoring process ended abnormally; it resumes when started again."""
    return isinstance(error, ChildFailed)


def server_away(error: BaseException) -> bool:
    """Whether a server could not be reached, this error's causes included."""
    away = (ConnectionError, requests.exceptions.ConnectionError, requests.exceptions.Timeout)
    return any(isinstance(link, away) for link in behind(error))


def as_task(
    stage: Stage[S],
    timeout_s: float,
    retries: int = 0,
    is_transient: IsTransient = child_crashed,
    holding: Callable[[], AbstractContextManager[None]] = nullcontext,
    backoff_s: float = BACKOFF_S,
) -> StageTask:
    """Wrap a stage as a Prefect task.

    Args:
        stage: The stage.
        timeout_s: Longest time that one attempt may take, in seconds.
        retries: Attempts after the first one.
        is_transient: Which errors another attempt may mend; no other error is retried.
        holding: What is held while the stage runs, such as an accelerator.
        backoff_s: Wait before the first retry, in seconds; doubled for each further one, and
            spread by up to half, so that many runs do not come back at the same moment.

    Returns:
        A function for flows: recipe, workspace and the needed artifacts in, artifact out.
    """
    # No tags: Prefect would ask the server for a limit of each before the task runs. One on SQLite
    # still writes what came before, says 503 ("database is locked"), and Prefect waits two seconds.
    as_prefect_task = task(
        name=stage.name,
        version=stage.version,
        task_run_name="{recipe.name}: " + stage.name,
        timeout_seconds=timeout_s,
        retries=retries,
        retry_delay_seconds=exponential_backoff(backoff_s),
        retry_jitter_factor=JITTER,
        retry_condition_fn=retry_condition(stage.name, is_transient),
        persist_result=False,
    )
    made = as_prefect_task(_runner(stage, holding))

    def call(recipe: Recipe, workspace: Path, *needed: Artifact) -> Artifact:
        state = made(recipe, workspace, needed, return_state=True)
        artifact: Artifact = state.result()  # raises what the stage raised
        return artifact

    return call


def retry_condition(
    name: str, is_transient: IsTransient
) -> Callable[[Task[..., Any], TaskRun, State[Any]], bool]:
    """Prefect's question whether to try again, answered from the error alone.

    Args:
        name: The stage, for the log.
        is_transient: Which errors another attempt may mend.
    """

    def should_retry(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
        error = state.data
        if not isinstance(error, BaseException) or not is_transient(error):
            return False
        logger.warning("%s: attempt %d failed: %s", name, task_run.run_count, error)
        return True

    return should_retry


def _runner(
    stage: Stage[S], holding: Callable[[], AbstractContextManager[None]]
) -> Callable[..., State[Artifact]]:
    def run_stage(recipe: Recipe, workspace: Path, needed: tuple[Artifact, ...]) -> State[Artifact]:
        artifacts = {artifact.stage: artifact for artifact in needed}
        with holding():
            artifact = stage.run(stage.select(recipe), Inputs(workspace, artifacts))
        name = "Reused" if artifact.state == "reused" else "Completed"
        return Completed(name=name, message=f"digest {artifact.digest[:12]}", data=artifact)

    return run_stage
