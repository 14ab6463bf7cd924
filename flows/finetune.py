"""The flow: one recipe, from its data to a registered model version.

finetune("configs/recipes/support_chat.yaml", ["train.epochs=1"])
-> {"recipe": "support-chat", "model": "support-summarizer", "version": "3", "run_id": "5d41...",
    "decision": {"promote": true, ...}, "test": {...}, "report": ".../report.html",
    "stages": {"ingest": {"state": "ran", "seconds": 0.8, "digest": "51ab..."}, ...}, ...}
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows import stages
from flows.artifact_key import artifact_key
from flows.dvc_record import record_in_dvc
from flows.forget import NOTHING_KEPT
from flows.held import held
from flows.standing import standing
from tasks.config import Recipe, load_recipe
from tasks.home import prepare_environment, workspace_of
from tasks.pipeline import foreseen, pipeline_key
from tasks.report.grids import test_grid
from tasks.report.table import markdown
from tasks.stage import Artifact, read_json
from tasks.tracking.run import read_run, tracked

logger = logging.getLogger("retune")


def run_name() -> str:
    """The name of a run of the flow: that of its recipe's file."""
    return Path(runtime.flow_run.parameters["recipe"]).stem


@flow(
    name="finetune",
    flow_run_name=run_name,
    **NOTHING_KEPT,
)
def finetune(recipe: str, overrides: list[str] | None = None) -> dict[str, Any]:
    """Fine-tune, evaluate and register a model as a recipe says; what is still valid is reused.

    Args:
        recipe: Path of the recipe.
        overrides: `dotted.key=value` each, in place of what the recipe says.

    Returns:
        What `retune run --json` prints.

    Raises:
        BadInput: Recipe, data, prompts or model can't be used, or another run holds the workspace.
        ChildFailed: Training or scoring ended abnormally, its retries included.
    """
    prepare_environment()
    logger.setLevel(logging.INFO)
    loaded = load_recipe(recipe, overrides or [])
    workspace = workspace_of(loaded.name)
    with held(workspace), _tracked(loaded, workspace):
        records = stages.ingest(loaded, workspace)
        examples = stages.template(loaded, workspace, records)
        parts = stages.split(loaded, workspace, examples)
        model = stages.train(loaded, workspace, parts)
        validation = stages.validate(loaded, workspace, parts, model)
        test = stages.test(loaded, workspace, records, examples, parts, model)
        forgetting = stages.forgetting(loaded, workspace, examples, parts, model)
        made = (records, examples, parts, model, validation, test, forgetting)
        version = stages.register(loaded, workspace, *made)
    if not overrides:
        record_in_dvc(workspace, any(each.state == "ran" for each in (*made, version)))
    result = _result(version, [*made, version])
    _show(result)
    return result


@contextmanager
def _tracked(recipe: Recipe, workspace: Path) -> Iterator[None]:
    """The MLflow run of this pipeline run; none where nothing is left to do."""
    all_made = all(stage.decision == "reuse" for stage in foreseen(recipe, workspace))
    if all_made and not _is_left_open(recipe, workspace):
        yield
        return
    tags = {"prefect.flow_run_id": str(runtime.flow_run.id)}
    with tracked(recipe, workspace, pipeline_key(recipe), tags):
        yield


def _is_left_open(recipe: Recipe, workspace: Path) -> bool:
    """Whether a run of the same content was killed after its last stage, before MLflow knew."""
    known = read_run(workspace)
    return known is not None and not known.finished and known.key == pipeline_key(recipe)


def _result(version: Artifact, artifacts: Sequence[Artifact]) -> dict[str, Any]:
    registered = read_json(version.path / "result.json")
    ran = {
        artifact.stage: {
            "state": artifact.state,
            "seconds": artifact.seconds,
            "digest": artifact.digest,
        }
        for artifact in artifacts
    }
    return {**registered, "decision": standing(registered), "stages": ran}


def _show(result: dict[str, Any]) -> None:
    """Put the result where Prefect's pages show it."""
    recipe = result["recipe"]
    key = artifact_key("result", recipe)
    create_markdown_artifact(markdown(result), key=key, description="Result of a run")
    figures = test_grid(result["test"])
    rows = [dict(zip(figures.columns, row, strict=True)) for row in figures.rows]
    create_table_artifact(rows, key=artifact_key("test", recipe), description=figures.title)
    rows = [{"stage": stage, **values} for stage, values in result["stages"].items()]
    key = artifact_key("stages", recipe)
    create_table_artifact(rows, key=key, description="Stages of a run")
