"""Everything a report says, read from the artifacts of the stages.

Facts(result={"recipe": "support-chat", "decision": {...}, ...}, metrics={...}, examples=[...],
      stages=[MadeStage("ingest", "3", 1100, 0.8, "51ab...")], lineage={"retune.data_digest": ...})
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.report.candidates import frontier_points, read_candidates
from tasks.report.confusion import Confusion, confusions
from tasks.report.curves import Curve, accuracy_curves, loss_curves
from tasks.report.data_facts import TaskData, data_facts
from tasks.report.examples import Example, choose_examples
from tasks.report.frontier import FrontierPoint
from tasks.stage import read_json, read_manifest, read_rows
from tasks.tracking.decision import ChampionEvidence


@dataclass(frozen=True)
class MadeStage:
    """What a stage made, and how long it took."""

    name: str
    version: str
    rows: int
    seconds: float
    digest: str


@dataclass(frozen=True)
class Facts:
    """All that a report says.

    Attributes:
        result: The document of `retune run --json`, without its stages.
        recipe: The resolved recipe.
        champion: The comparison with the version in service; None where there is none.
        metrics: `metrics.json` of the test stage.
        leakage: `leakage.json` of the test stage.
        forgetting: `probes.json` of the forgetting stage.
        training: `summary.json` of the train stage.
        speed: `speed.json` of the train stage: seconds, tokens_per_s, peak_memory_bytes.
        losses: Over steps.
        accuracies: Over steps.
        candidates: The models that the tuned one was chosen from, where there was a choice.
        data: Of each task.
        examples: Answers side by side.
        confusions: What is taken for what, of tasks whose answers are labels.
        stages: In the order of the pipeline.
        lineage: The version's tags.
    """

    result: Mapping[str, Any]
    recipe: Mapping[str, Any]
    champion: ChampionEvidence | None
    metrics: Mapping[str, Any]
    leakage: Mapping[str, Any]
    forgetting: Mapping[str, Any]
    training: Mapping[str, Any]
    speed: Mapping[str, float]
    losses: Sequence[Curve]
    accuracies: Sequence[Curve]
    candidates: Sequence[FrontierPoint]
    data: Sequence[TaskData]
    examples: Sequence[Example]
    confusions: Sequence[Confusion]
    stages: Sequence[MadeStage]
    lineage: Mapping[str, str]


def read_facts(
    result: Mapping[str, Any],
    recipe: Mapping[str, Any],
    champion: ChampionEvidence | None,
    lineage: Mapping[str, str],
    folders: Mapping[str, Path],
) -> Facts:
    """Read what the stages wrote.

    Args:
        result: The document of `retune run --json`, without its stages.
        recipe: The resolved recipe.
        champion: The comparison with the version in service; None where there is none.
        lineage: The version's tags.
        folders: Stage -> its folder.
    """
    test, train = folders["test"], folders["train"]
    metrics = read_json(test / "metrics.json")
    answers = list(read_rows(test / "predictions.jsonl"))
    primaries = {task: entry["primary"] for task, entry in metrics["tasks"].items()}
    return Facts(
        result=result,
        recipe=recipe,
        champion=champion,
        metrics=metrics,
        leakage=read_json(test / "leakage.json"),
        forgetting=read_json(folders["forgetting"] / "probes.json"),
        training=read_json(train / "summary.json"),
        speed=read_json(train / "speed.json"),
        losses=loss_curves(train),
        accuracies=accuracy_curves(train),
        candidates=frontier_points(read_candidates(train)["candidates"]),
        data=data_facts(folders),
        examples=choose_examples(answers, primaries),
        confusions=confusions(
            answers,
            {task: list(entry["ways"]["tuned"]) for task, entry in metrics["tasks"].items()},
        ),
        stages=[_made(name, folder) for name, folder in folders.items()],
        lineage=lineage,
    )


def _made(name: str, folder: Path) -> MadeStage:
    manifest = read_manifest(folder)
    assert manifest is not None, folder  # the stage has just been run or found valid
    fields = {field: manifest[field] for field in ("version", "rows", "seconds", "digest")}
    return MadeStage(name, **fields)
