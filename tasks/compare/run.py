"""The steps of a comparison, in the order in which a flow takes them.

<workspace>/            ingest/ template/ split/, those that `retune run` uses too
<workspace>/compare/
    full/  lora/  ...   training/, and split/ where a way trains on a part; run.json
    old/                ingest/ template/ split/ of old and new tasks together
    test/  probes/  phrasings/
    comparison.json  comparison.html

Every step is a stage: what is still valid is reused, and an interrupted comparison goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import ingest, split, template, train
from tasks.compare import measure, partial, ways
from tasks.compare.recording import way_run
from tasks.compare.ways import FULL, Way
from tasks.config import Recipe
from tasks.stage import Artifact, Inputs, Stage, read_json

OLD = "old"


@dataclass(frozen=True)
class Data:
    """The examples that ways train on, from the three stages that make them."""

    records: Artifact
    examples: Artifact
    parts: Artifact

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Stage -> artifact."""
        return {"ingest": self.records, "template": self.examples, "split": self.parts}


def folder_of(workspace: Path) -> Path:
    """The folder of a comparison in the workspace of its recipe."""
    return workspace / "compare"


def data_of(recipe: Recipe, compared: Recipe, workspace: Path) -> Data:
    """The examples of a way's recipe.

    Args:
        recipe: Of the way.
        compared: The recipe that is compared: where both train on the same tasks, the artifacts
            are those of its workspace, as `retune run` makes them.
        workspace: Of the recipe that is compared.
    """
    place = workspace
    if recipe.trained_tasks != compared.trained_tasks:
        place = folder_of(workspace) / (OLD if recipe.train.replay else "own")
    made: dict[str, Artifact] = {}
    for stage in (ingest.STAGE, template.STAGE, split.STAGE):
        made[stage.name] = _run(stage, recipe, place, made)
    return Data(made["ingest"], made["template"], made["split"])


@dataclass(frozen=True)
class Plan:
    """What is compared besides `full` and `interpolated`.

    Attributes:
        ways: Each with what it trains on.
        rows: Training examples of the largest task.
        left_out: Way -> why it can't be tried.
        old: The examples with old tasks among them, where there are any.
    """

    ways: Sequence[tuple[Way, Data]]
    rows: int
    left_out: Mapping[str, str]
    old: Data | None


def plan_of(recipe: Recipe, data: Data, workspace: Path) -> Plan:
    """Which ways the recipe and its data allow.

    Args:
        recipe: The recipe that is compared.
        data: Its own examples.
        workspace: Its folder.
    """
    planned: list[tuple[Way, Data]] = []
    left_out: dict[str, str] = {}
    old = None
    if isinstance(lora := ways.lora(recipe), str):
        left_out[ways.LORA] = lora
    else:
        planned.append((lora, data))
    if not isinstance(rehearsing := ways.rehearsing(recipe), str):
        old = data_of(rehearsing[0].recipe, recipe, workspace)
        if not _has_old_rows(old):
            old, rehearsing = None, "the probes measure on all rows that there are of old tasks"
    if isinstance(rehearsing, str):
        left_out |= dict.fromkeys((ways.REPLAY, ways.MULTI_TASK), rehearsing)
    elif old:
        planned += [(way, old) for way in rehearsing]
    rows = _largest_task(data)
    planned += [(way, data) for way in ways.curve(recipe, rows)]
    if measure.has_varied_task(recipe):
        planned.append((ways.one_phrasing(recipe), data))
    else:
        left_out[ways.ONE_PHRASING] = "no task has several phrasings and held-out ones"
    return Plan(planned, rows, left_out, old)


def train_way(way: Way, data: Data, folder: Path, parent: str) -> Artifact:
    """Train the model of a way, in an MLflow run of its own.

    Args:
        way: The way.
        data: What it trains on.
        folder: Of the comparison.
        parent: Id of the comparison's MLflow run.

    Raises:
        BadInput: The examples or the base model are unusable.
        ChildFailed: Training ended abnormally.
    """
    workspace = folder / way.name
    with way_run(way.name, way.recipe, folder, parent):
        parts = data.parts
        if way.is_partial:
            parts = _run(partial.stage_of(way), way.recipe, workspace, data.artifacts)
        return _run(train.TRAINING, way.recipe, workspace, {"split": parts})


def interpolate(recipe: Recipe, data: Data, folder: Path, parent: str) -> Artifact:
    """Choose weights between those of the base model and of `full`, which has been trained."""
    own = ways.interpolated(recipe)
    with way_run(ways.INTERPOLATED, own, folder, parent):
        return _run(train.STAGE, own, folder / FULL, {"split": data.parts})


def budget(trained: Artifact) -> int:
    """The optimizer steps that every other way may take: those planned for `full`."""
    return int(read_json(trained.path / "summary.json")["planned_steps"])


def measure_all(
    recipe: Recipe, trained: Mapping[str, Artifact], data: Data, old: Data | None, folder: Path
) -> tuple[Artifact, Artifact | None, Artifact | None]:
    """Score every way: on the test rows, the probes and in new phrasings.

    Args:
        recipe: What is compared.
        trained: Way -> the artifact of its training.
        data: The recipe's own examples.
        old: Those with old tasks, where a way trained on them.
        folder: Of the comparison.
    """
    shown = ways.in_context(ways.full(recipe).recipe)
    made = {**data.artifacts, **trained}
    tested = [way for way in trained if way != ways.ONE_PHRASING]
    test = _run(measure.test_stage(shown, tested), shown, folder, made)
    probes = phrasings = None
    if recipe.forgetting.probes is not None:
        probed = [way for way in tested if not way.startswith(f"{FULL}_")]
        seen = {**made, **(old or data).artifacts}
        probes = _run(measure.probes_stage(shown, probed), shown, folder, seen)
    if ways.ONE_PHRASING in trained:
        phrasings = _run(measure.phrasings_stage(shown), shown, folder, made)
    return test, probes, phrasings


def _largest_task(data: Data) -> int:
    """Training examples of the largest task of a split."""
    sides = read_json(data.parts.path / "summary.json").values()
    return max(int(task["train"]) for task in sides)


def _has_old_rows(data: Data) -> bool:
    """Whether a split has rows of old tasks to train on."""
    sides = read_json(data.parts.path / "summary.json").values()
    return any(task["train"] for task in sides if task.get("rehearsed"))


def _run(
    stage: Stage[Any], recipe: Recipe, workspace: Path, made: Mapping[str, Artifact]
) -> Artifact:
    return stage.run(stage.select(recipe), Inputs(workspace, made))
