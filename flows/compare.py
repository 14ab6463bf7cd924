"""The flow that compares the ways to adapt a model, on the same data and budget.

compare("configs/recipes/support_chat.yaml")
-> {"recipe": "support-chat", "ways": {"few_shot": {"gain": -0.01, ...}, "lora": {...}, ...},
    "claims": [{"claim": "...", "verdict": "confirmed", "evidence": "..."}, ...],
    "report": ".../compare/comparison.html", "run_id": "5d41...", ...}
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Task, flow, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.futures import as_completed
from prefect.tasks import exponential_backoff

from flows.accelerators import accelerator
from flows.artifact_key import artifact_key
from flows.finetune import run_name
from flows.forget import NOTHING_KEPT
from flows.held import held
from flows.stage_task import BACKOFF_S, JITTER, child_crashed, retry_condition
from flows.stages import DAY_S
from tasks.compare import run as steps
from tasks.compare import ways
from tasks.compare.recording import comparison_run, record
from tasks.compare.results import Scored, document
from tasks.compare.ways import Way
from tasks.config import Recipe, load_recipe
from tasks.gpus import Rooms, rooms_for
from tasks.home import prepare_environment, workspace_of
from tasks.report.comparison import markdown, page
from tasks.stage import Artifact, write_json

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("retune")


def _as_task(name: str) -> Callable[[Callable[P, T]], Task[P, T]]:
    """Wrap a step as a Prefect task, which is retried where its child process crashed."""

    def decorate(do: Callable[P, T]) -> Task[P, T]:
        as_prefect_task = task(
            name=do.__name__,
            task_run_name=name,
            timeout_seconds=14 * DAY_S,
            retries=2,
            retry_delay_seconds=exponential_backoff(BACKOFF_S),
            retry_jitter_factor=JITTER,
            retry_condition_fn=retry_condition(do.__name__, child_crashed),
            persist_result=False,
        )
        return as_prefect_task(do)

    return decorate


@_as_task("{way.name}")
def train_way(way: Way, data: steps.Data, folder: Path, run_id: str, rooms: Rooms) -> Artifact:
    """Train one of the ways, as soon as there is room."""
    with rooms.one(way.name), accelerator():
        logger.info("compare: %s", way.name)
        return steps.train_way(way, data, folder, run_id)


@_as_task("interpolated")
def interpolate(recipe: Recipe, data: steps.Data, folder: Path, run_id: str) -> Artifact:
    """Choose between the weights of the base model and those of `full`."""
    with accelerator():
        return steps.interpolate(recipe, data, folder, run_id)


@_as_task("measure all ways")
def measure(
    recipe: Recipe,
    trained: Mapping[str, Artifact],
    data: steps.Data,
    old: steps.Data | None,
    folder: Path,
) -> tuple[Artifact, Artifact | None, Artifact | None]:
    """Score all ways at once."""
    with accelerator():
        return steps.measure_all(recipe, trained, data, old, folder)


@flow(
    name="compare",
    flow_run_name=run_name,
    **NOTHING_KEPT,
)
def compare(recipe: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """Adapt the base model of a recipe in every way that there is, and measure all of them.

    Args:
        recipe: Path of the recipe.
        overrides: `dotted.key=value` each, in place of what the recipe says.

    Returns:
        What `retune compare --json` prints.

    Raises:
        BadInput: Recipe, data, prompts or model can't be used, or another run holds the workspace.
        ChildFailed: Training or scoring ended abnormally, its retries included.
    """
    prepare_environment()
    logger.setLevel(logging.INFO)
    loaded = load_recipe(recipe, overrides or [])
    workspace, started = workspace_of(loaded.name), time.monotonic()
    folder = steps.folder_of(workspace)
    tags = {"prefect.flow_run_id": str(runtime.flow_run.id)}
    with held(workspace), comparison_run(loaded, folder, tags) as run_id:
        scored = _scored(loaded, workspace, folder, run_id)
        found = document(scored)
        report = folder / "comparison.html"
        seconds = round(time.monotonic() - started, 1)
        found |= {"seconds": seconds, "run_id": run_id, "report": str(report)}
        report.write_text(page(found), encoding="utf-8")
        write_json(folder / "comparison.json", found)
        record(found, loaded, folder, report)
    key = artifact_key("comparison", loaded.name)
    create_markdown_artifact(markdown(found), key=key, description="The ways side by side")
    return found


def _scored(recipe: Recipe, workspace: Path, folder: Path, run_id: str) -> Scored:
    """Train every way, then measure all of them at once."""
    full = ways.full(recipe)
    data = steps.data_of(full.recipe, recipe, workspace)
    planned = steps.plan_of(recipe, data, workspace)
    for name, reason in planned.left_out.items():
        logger.warning("compare: %s is left out: %s", name, reason)
    with rooms_for(recipe.train.launch) as rooms:
        trained = {ways.FULL: train_way(full, data, folder, run_id, rooms)}
        trained[ways.INTERPOLATED] = interpolate(recipe, data, folder, run_id)
        num_steps = steps.budget(trained[ways.FULL])
        within = [(ways.within(way, num_steps), own) for way, own in planned.ways]
        trained |= _train(within, folder, run_id, rooms)
    measured = measure(recipe, trained, data, planned.old, folder)
    return Scored(recipe, trained, planned.rows, planned.left_out, *measured)


def _train(
    planned: Sequence[tuple[Way, steps.Data]], folder: Path, run_id: str, rooms: Rooms
) -> dict[str, Artifact]:
    """Train ways, as many at once as there is room for."""
    if rooms.num == 1:
        return {way.name: train_way(way, own, folder, run_id, rooms) for way, own in planned}
    logger.info("compare: %d ways, %d at once", len(planned), rooms.num)
    begun = {way.name: train_way.submit(way, own, folder, run_id, rooms) for way, own in planned}
    for future in as_completed(list(begun.values())):
        future.result()  # one that failed raises at once, which ends the others
    return {name: future.result() for name, future in begun.items()}
