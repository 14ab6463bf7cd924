"""A comparison in MLflow: one run, and below it one for each way.

with comparison_run(recipe, folder, {}) as run_id, way_run("lora", recipe, folder, run_id): ...
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.compare.ways import FULL
from tasks.config import Recipe
from tasks.pipeline import pipeline_key
from tasks.stage import digest_of_json
from tasks.tracking.run import log_file, log_metrics, read_run, tracked

# MLflow's own names of these tags.
PARENT_TAG, NAME_TAG = "mlflow.parentRunId", "mlflow.runName"


@contextmanager
def comparison_run(recipe: Recipe, folder: Path, tags: Mapping[str, str]) -> Iterator[str]:
    """Keep the MLflow run of a comparison open for a block; the same recipe and data resume it.

    Yields:
        Its id.
    """
    with tracked(recipe, folder, pipeline_key(recipe), {NAME_TAG: "compare", **tags}):
        yield run_id_of(folder)


@contextmanager
def way_run(name: str, recipe: Recipe, folder: Path, parent: str) -> Iterator[None]:
    """Keep the MLflow run of a way open for a block, as a child of the comparison's.

    Args:
        name: Of the way.
        recipe: Its recipe, whose values are the params.
        folder: Of the comparison.
        parent: Id of its run.
    """
    key = digest_of_json([name, parent, recipe.model_dump(mode="json")])
    with tracked(recipe, folder / name, key, {PARENT_TAG: parent, NAME_TAG: name}):
        yield


def record(document: Mapping[str, Any], recipe: Recipe, folder: Path, page: Path) -> None:
    """Log the figures of each way into its run, and the page into that of the comparison."""
    parent = run_id_of(folder)
    for name, figures in document["ways"].items():
        if not figures["steps"]:  # a way that trains has its run already
            with way_run(name, recipe, folder, parent):
                pass
        _log(folder / name, figures)
    for point in document["learning_curve"][:-1]:
        _log(folder / f"{FULL}_{point['examples']}", point)
    log_file(parent, page)


def _log(folder: Path, figures: Mapping[str, Any]) -> None:
    numbers = {key: value for key, value in figures.items() if isinstance(value, int | float)}
    log_metrics(run_id_of(folder), numbers)


def run_id_of(folder: Path) -> str:
    """The id of the MLflow run that was opened for a folder."""
    known = read_run(folder)
    assert known and known.run_id
    return known.run_id
