"""One MLflow run for one run of the pipeline, found again after a crash.

`<workspace>/run.json` remembers which it is:

    {"key": "9f0c...", "token": "5d41...", "run_id": "77e1...", "started": 1790000000.0,
     "finished": false}
"""

import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tasks.config import Recipe
from tasks.errors import BadWorkspace, RetuneError
from tasks.home import state_home
from tasks.tracking.connection import connect, is_missing, retry_while_down
from tasks.tracking.journal import METRICS_PER_BATCH

FILE = "run.json"
TOKEN_TAG = "retune.token"
PARAMS_PER_BATCH = 100
DIGEST_CHARS = 36
"""MLflow takes no longer digest of a data set."""

logger = logging.getLogger("retune")


@dataclass(frozen=True)
class RunFile:
    """What `run.json` holds.

    Attributes:
        key: What the run is of; another key is another run.
        token: A tag that the run is created with, so that a crash before its id is written
            down does not leave a second run behind.
        run_id: MLflow's id; None until the run is created.
        started: When, in seconds since 1970.
        finished: Whether the pipeline came to its end.
    """

    key: str
    token: str
    run_id: str | None
    started: float
    finished: bool


@dataclass(frozen=True)
class DataInput:
    """A data set that the run used.

    Attributes:
        name: Such as `support-chat/train`.
        digest: sha256 of the file.
        path: The file.
        rows: Rows in it.
        context: What it was used for: training, validation or test.
    """

    name: str
    digest: str
    path: Path
    rows: int
    context: str


def open_run(
    workspace: Path,
    recipe_name: str,
    key: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> str:
    """Start the MLflow run of this workspace, or go on with it.

    Args:
        workspace: The recipe's folder.
        recipe_name: Names the MLflow experiment.
        key: The same key goes on with the same run, as long as MLflow still has it.
        params: The recipe, nested as it is; logged flat (`train.epochs`).
        tags: Tags of the run.

    Returns:
        The run's id; the run is RUNNING.
    """

    def opened() -> str:
        client = connect()
        known = read_run(workspace)
        if known is None or known.key != key or not _still_there(client, known):
            known = RunFile(key, uuid.uuid4().hex, None, time.time(), finished=False)
            _write(workspace, known)
        experiment_id = _experiment(client, recipe_name)
        run_id = known.run_id or _created(client, experiment_id, known.token)
        _write(workspace, replace(known, run_id=run_id, finished=False))
        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        run = client.get_run(run_id)
        if not run.data.params:
            _log_params(client, run_id, flatten(params))
        if run.info.status != "RUNNING":
            client.update_run(run_id, status="RUNNING")
        return run_id

    return retry_while_down(opened)


@contextmanager
def tracked(
    recipe: Recipe, workspace: Path, key: str, tags: Mapping[str, str], finishes: bool = True
) -> Iterator[None]:
    """Keep the MLflow run of a recipe open for a block.

    Args:
        recipe: Its name is that of the experiment, its values are the params.
        workspace: The recipe's folder.
        key: As for `open_run`.
        tags: Tags of the run.
        finishes: Whether the end of the block is the end of the run; an error always is.
    """
    open_run(workspace, recipe.name, key, recipe.model_dump(mode="json"), tags)
    try:
        yield
    except BaseException:  # Ctrl-C and a cancelled flow leave a failed run as well
        fail_run(workspace)
        raise
    if finishes:
        finish_run(workspace)


def current_run(workspace: Path) -> str | None:
    """The id of the run that is under way in this workspace; None where none is."""
    known = read_run(workspace)
    return known.run_id if known and not known.finished else None


def tags_of(run_id: str) -> dict[str, str]:
    """The tags of a run."""
    return dict(retry_while_down(lambda: connect().get_run(run_id)).data.tags)


def finish_run(workspace: Path) -> None:
    """Mark the run of this workspace as finished."""
    known = _known(workspace)
    retry_while_down(lambda: connect().set_terminated(str(known.run_id), "FINISHED"))
    _write(workspace, replace(known, finished=True))


def fail_run(workspace: Path) -> None:
    """Mark the run as failed; the same command will go on with it.

    The error that made it fail matters more than a server that is down: that is only logged.
    """
    known = _known(workspace)
    try:
        retry_while_down(lambda: connect().set_terminated(str(known.run_id), "FAILED"), 5.0)
    except RetuneError as error:
        logger.warning("the run could not be marked as failed: %s", error)


def log_metrics(run_id: str, metrics: Mapping[str, float]) -> None:
    """Log final figures, at step 0; waits while the server is down."""
    now_ms = int(time.time() * 1000)
    batch = [Metric(name, value, now_ms, 0) for name, value in metrics.items()]
    for start in range(0, len(batch), METRICS_PER_BATCH):
        part = batch[start : start + METRICS_PER_BATCH]
        retry_while_down(partial(connect().log_batch, run_id, metrics=part))


def log_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Tag the run; waits while the server is down."""
    batch = [RunTag(name, value) for name, value in tags.items()]
    retry_while_down(lambda: connect().log_batch(run_id, tags=batch))


def log_inputs(run_id: str, inputs: Sequence[DataInput]) -> None:
    """Log which data sets the run used: name, digest, place and rows, not their content."""
    datasets = [_dataset_input(data) for data in inputs]
    retry_while_down(lambda: connect().log_inputs(run_id, datasets))


def log_file(run_id: str, path: Path, folder: str | None = None) -> None:
    """Log a file as an artifact of the run; waits while the server is down."""
    retry_while_down(lambda: connect().log_artifact(run_id, str(path), folder))


def fetch_file(run_id: str, name: str, folder: Path) -> Path | None:
    """A file that a run logged; None where it has none of that name.

    Args:
        run_id: The run.
        name: Path of the artifact in the run.
        folder: Where to put it.
    """
    parent = name.rpartition("/")[0]
    place = folder / parent  # some stores leave the artifact's own folders out
    place.mkdir(parents=True, exist_ok=True)

    def fetch() -> Path | None:
        client = connect()
        try:
            names = [file.path for file in client.list_artifacts(run_id, parent)]
        except MlflowException as error:
            if is_missing(error):
                return None
            raise
        return Path(client.download_artifacts(run_id, name, str(place))) if name in names else None

    return retry_while_down(fetch)


def read_run(workspace: Path) -> RunFile | None:
    """What `run.json` says; None where there is none that can be read."""
    try:
        return RunFile(**json.loads((workspace / FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def flatten(nested: Mapping[str, Any]) -> dict[str, str]:
    """A recipe as MLflow params: `{"train": {"epochs": 3}}` -> `{"train.epochs": "3"}`.

    Characters that MLflow does not take in a name become `_`.
    """
    pairs = _leaves(nested, "")
    return {re.sub(r"[^\w. :/-]", "_", name): str(value) for name, value in pairs}


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        children = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list | tuple) and value:
        children = [(str(number), child) for number, child in enumerate(value)]
    else:
        if name:
            yield name, value
        return
    for key, child in children:
        yield from _leaves(child, f"{name}.{key}" if name else key)


def _still_there(client: MlflowClient, known: RunFile) -> bool:
    if known.run_id is None:
        return True  # it was about to be created
    try:
        return bool(client.get_run(known.run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if is_missing(error):
            return False
        raise


def _created(client: MlflowClient, experiment_id: str, token: str) -> str:
    filtered = f"tags.`{TOKEN_TAG}` = '{token}'"
    found = client.search_runs([experiment_id], filtered, ViewType.ACTIVE_ONLY, max_results=1)
    if found:
        return str(found[0].info.run_id)
    return str(client.create_run(experiment_id, tags={TOKEN_TAG: token}).info.run_id)


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    batch = [Param(name, value) for name, value in params.items()]
    for start in range(0, len(batch), PARAMS_PER_BATCH):
        client.log_batch(run_id, params=batch[start : start + PARAMS_PER_BATCH])


def _experiment(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, _artifact_location(name)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(name)  # another run was quicker
        assert found is not None
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _artifact_location(name: str) -> str | None:
    """The folder of an experiment's artifacts; None leaves it to a server."""
    if not mlflow.get_tracking_uri().startswith("sqlite:"):
        return None
    return (state_home() / "mlartifacts" / name).as_uri()


def _dataset_input(data: DataInput) -> DatasetInput:
    dataset = Dataset(
        name=data.name,
        digest=data.digest[:DIGEST_CHARS],
        source_type="local",
        source=json.dumps({"uri": str(data.path)}),
        profile=json.dumps({"num_rows": data.rows}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", data.context)])


def _known(workspace: Path) -> RunFile:
    known = read_run(workspace)
    if known is None or known.run_id is None:
        where = str(workspace / FILE)
        raise BadWorkspace(where, "the id of an MLflow run", "none", "run the recipe again")
    return known


def _write(workspace: Path, content: RunFile) -> None:
    workspace.mkdir(parents=True, exist_ok=True)
    unfinished = workspace / f"{FILE}.partial"
    unfinished.write_text(json.dumps(asdict(content)), encoding="utf-8")
    os.replace(unfinished, workspace / FILE)
