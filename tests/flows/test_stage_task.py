"""A stage as a Prefect task, on a real server: states, retries, versions, errors."""

from pathlib import Path
from typing import Any

import pytest
import requests
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun
from prefect.context import get_run_context

from flows.stage_task import StageTask, as_task, child_crashed, server_away
from tasks.config import Recipe
from tasks.errors import BadData, ChildFailed
from tasks.stage import Artifact, Counted

pytestmark = pytest.mark.usefixtures("prefect_server")


def run_flow(
    recipe: Recipe, workspace: Path, *stage_tasks: StageTask
) -> tuple[list[Artifact], dict[str, TaskRun]]:
    """Run stages one after the other, each with the artifacts of all before it."""
    ids: list[Any] = []

    @flow(name="toy")
    def toy() -> list[Artifact]:
        ids.append(get_run_context().flow_run.id)
        made: list[Artifact] = []
        for stage_task in stage_tasks:
            made.append(stage_task(recipe, workspace, *made))
        return made

    try:
        return toy(), task_runs(ids[0])
    except Exception as error:
        error.task_runs = task_runs(ids[0])  # type: ignore[attr-defined]
        raise


def task_runs(flow_run_id: Any) -> dict[str, TaskRun]:
    with get_client(sync_client=True) as client:
        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        found = client.read_task_runs(flow_run_filter=only)
    return {run.name: run for run in found}


def test_a_stage_runs_once_and_is_reused_after(toy_stage, recipe, tmp_path):
    first = as_task(toy_stage("ingest"), timeout_s=60)
    second = as_task(toy_stage("template", needs=("ingest",)), timeout_s=60)
    made, runs = run_flow(recipe, tmp_path, first, second)
    again, reruns = run_flow(recipe, tmp_path, first, second)

    assert [(artifact.stage, artifact.rows, artifact.state) for artifact in made] == [
        ("ingest", 3, "ran"),
        ("template", 3, "ran"),
    ]
    assert [artifact.state for artifact in again] == ["reused", "reused"]
    assert [artifact.digest for artifact in again] == [artifact.digest for artifact in made]
    names = {"three-little-words: ingest", "three-little-words: template"}
    assert set(runs) == set(reruns) == names
    assert {run.state.name for run in runs.values()} == {"Completed"}
    assert {run.state.name for run in reruns.values()} == {"Reused"}
    assert {run.state.type.value for run in reruns.values()} == {"COMPLETED"}
    assert {run.task_version for run in runs.values()} == {"7"}


def test_a_crash_is_retried_and_the_attempts_are_counted(toy_stage, recipe, tmp_path):
    attempts = []

    def crash_twice(section, inputs, output):
        attempts.append((output.scratch / "checkpoint").exists())
        (output.scratch / "checkpoint").touch()
        if len(attempts) < 3:
            raise ChildFailed("tasks.training ended with exit code -9")
        return Counted(1, {})

    stage_task = as_task(toy_stage("train", crash_twice), 60, retries=2, backoff_s=0.01)
    made, runs = run_flow(recipe, tmp_path, stage_task)
    assert made[0].state == "ran"
    assert attempts == [False, True, True]  # the scratch folder outlives a crash
    assert runs["three-little-words: train"].run_count == 3


def test_bad_input_is_not_retried_and_comes_out_as_it_is(toy_stage, recipe, tmp_path):
    attempts = []

    def refuse(section, inputs, output):
        attempts.append(1)
        raise BadData("data.jsonl:3", "a text", "nothing", "fill it in")

    stage_task = as_task(toy_stage("ingest", refuse), 60, retries=2, backoff_s=0.01)
    with pytest.raises(BadData) as raised:
        run_flow(recipe, tmp_path, stage_task)
    assert raised.value.issues[0].mend == "fill it in"
    assert len(attempts) == 1
    run = raised.value.task_runs["three-little-words: ingest"]
    assert run.state.type.value == "FAILED"
    assert "data.jsonl:3" in run.state.message
    assert not (tmp_path / "ingest").exists()


def test_a_stage_that_takes_too_long_is_stopped(toy_stage, recipe, tmp_path):
    def wait(section, inputs, output):
        import time

        for _ in range(600):
            time.sleep(0.1)
        return Counted(1, {})

    with pytest.raises(TimeoutError):
        run_flow(recipe, tmp_path, as_task(toy_stage("ingest", wait), 0.5, retries=2))


def test_which_errors_are_transient():
    away = requests.exceptions.ConnectionError("refused")
    wrapped = RuntimeError("API request failed")
    wrapped.__context__ = away
    assert server_away(away) and server_away(wrapped) and server_away(ConnectionResetError())
    assert not server_away(BadData("x", "y", "z")) and not server_away(FileNotFoundError("x"))
    assert child_crashed(ChildFailed("-9"))
    assert not child_crashed(BadData("x", "y", "z")) and not child_crashed(MemoryError())
