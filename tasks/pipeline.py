"""The stages in the order in which they run, and which of them have something to do.

foreseen(recipe, workspace_of(recipe.name))[2]
-> Foreseen(stage="split", decision="run", reason="its part of the recipe changed: seed", ...)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks import forgetting, holdout, ingest, register, split, template, train, validate
from tasks.config import Recipe
from tasks.stage import Artifact, Inputs, Stage, digest_of_json, load_artifact, read_manifest

PIPELINE: tuple[Stage[Any], ...] = (
    ingest.STAGE,
    template.STAGE,
    split.STAGE,
    train.STAGE,
    validate.STAGE,
    holdout.STAGE,
    forgetting.STAGE,
    register.STAGE,
)


@dataclass(frozen=True)
class Foreseen:
    """What a run would do with one stage.

    Attributes:
        stage: Name of the stage.
        decision: Make the artifact, or reuse the one that is there.
        reason: Why.
        artifact: What is there, valid or not; None where the stage never ran.
    """

    stage: str
    decision: Literal["run", "reuse"]
    reason: str
    artifact: Artifact | None


def foreseen(recipe: Recipe, workspace: Path) -> tuple[Foreseen, ...]:
    """What `run` would do with each stage now.

    Args:
        recipe: The recipe.
        workspace: Its folder; need not exist.

    Raises:
        BadInput: A file that a stage reads can't be used.
    """
    outlook: dict[str, Foreseen] = {}
    for stage in PIPELINE:
        reason = _reason_to_run(stage, stage.select(recipe), workspace, outlook)
        manifest = read_manifest(workspace / stage.name)
        outlook[stage.name] = Foreseen(
            stage=stage.name,
            decision="run" if reason else "reuse",
            reason=reason or "nothing that it depends on changed",
            artifact=load_artifact(workspace, stage.name) if manifest else None,
        )
    return tuple(outlook.values())


def pipeline_key(recipe: Recipe) -> str:
    """A digest of all that goes into a run: recipe, stage versions and the files they read."""
    parts = {}
    for stage in PIPELINE:
        section = stage.select(recipe)
        parts[stage.name] = [stage.version, section.model_dump(mode="json"), stage.files(section)]
    return digest_of_json([recipe.model_dump(mode="json"), parts])


def _reason_to_run(
    stage: Stage[Any], section: Any, workspace: Path, outlook: Mapping[str, Foreseen]
) -> str:
    """Why a stage has to run; empty where what is there can be reused."""
    moving = [name for name in stage.needs if outlook[name].decision == "run"]
    if moving:
        return f"{', '.join(moving)} {'runs' if len(moving) == 1 else 'run'} before it"
    manifest = read_manifest(workspace / stage.name)
    if manifest is None:
        return "not made yet"
    inputs = Inputs(workspace, {name: load_artifact(workspace, name) for name in stage.needs})
    if stage.is_valid(section, inputs):
        return ""
    return _difference(stage, section, inputs, manifest)


def _difference(
    stage: Stage[Any], section: Any, inputs: Inputs, manifest: Mapping[str, Any]
) -> str:
    if manifest["version"] != stage.version:
        return f"version {stage.version} of the stage; made by version {manifest['version']}"
    now, then = section.model_dump(mode="json"), manifest["section"]
    changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    if changed:
        return f"its part of the recipe changed: {', '.join(changed)}"
    digests = {name: artifact.digest for name, artifact in inputs.artifacts.items()}
    read = {name: digests[name] for name in stage.needs} | stage.files(section)
    changed = sorted(name for name in read if manifest["inputs"].get(name) != read[name])
    if changed:
        return f"what it reads changed: {', '.join(changed)}"
    return "its files were changed or removed since"
