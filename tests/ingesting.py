"""Runs the ingest stage on a source, for the tests of it."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks import ingest
from tasks.config import Recipe
from tasks.stage import Artifact, Inputs

CHATS = [
    {"dialogue": "Ana: Lunch at one?\nBo: See you.", "summary": "Ana and Bo meet at one."},
    {"dialogue": "Ana: Did it ship?\nBo: Today.", "summary": "It ships today."},
    {"dialogue": "Cy: Is Müller in?\nDi: No, ill.", "summary": "Müller is ill."},
]
REVIEWS = {"prompts": "review_sentiment", "max_rejected": 0.9}


def recipe_of(source: dict[str, Any], prompts: str = "dialogue_summary", **task: Any) -> Recipe:
    content = {
        "name": "toy",
        "base_model": {"path": "models/toy"},
        "tasks": [{"name": "toy", "source": source, "prompts": prompts, **task}],
        "registry": {"model": "toy"},
    }
    return Recipe.model_validate_json(json.dumps(content))


def run(tmp_path: Path, source: dict[str, Any], **task: Any) -> Artifact:
    workspace = tmp_path / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    return ingest.run(ingest.select(recipe_of(source, **task)), Inputs(workspace, {}))


def records(artifact: Artifact) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(artifact.path / "toy.parquet").to_pylist()
    return rows


def summary(artifact: Artifact) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((artifact.path / "summary.json").read_text())
    return dict(content["toy"])


def rejects(artifact: Artifact) -> list[dict[str, Any]]:
    lines = (artifact.path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
