"""What the tracking tests share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tasks.tracking.registry import Version

Made = Callable[[str], "Version"]

TEMPLATES = [
    {"name": "gist", "heldout": False, "prompt": "Gist: {{ dialogue }}", "completion": "{{ x }}"},
    {"name": "short", "heldout": False, "prompt": "Short: {{ dialogue }}", "completion": "{{ x }}"},
]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """The stored templates of two tasks that share a slot."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    for task, templates in {"chat": TEMPLATES, "mail": TEMPLATES[::-1]}.items():
        content = {
            "name": "dialogue", "version": "1", "task": "summarization", "slots": ["dialogue"],
            "target": "x", "choices": [], "digest": "d", "templates": templates,
        }  # fmt: skip
        (folder / f"{task}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture
def run_id(home: Path, tmp_path: Path) -> str:
    from tasks.tracking.run import open_run

    return open_run(tmp_path / "ws", "chat", "k", {}, {})


@pytest.fixture
def made(run_id: str, tmp_path: Path) -> Made:
    """Registers a version of `summarizer` with a key; its only file is MLmodel."""
    from mlflow.tracking import MlflowClient

    from tasks.tracking import registry
    from tasks.tracking.package import NAME

    def make(key: str) -> "Version":
        client = MlflowClient()
        experiment_id = client.get_run(run_id).info.experiment_id
        logged = client.create_logged_model(experiment_id, name=NAME, source_run_id=run_id)
        folder = tmp_path / "files"
        folder.mkdir(exist_ok=True)
        (folder / "MLmodel").write_text("flavors: {}\n")
        client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
        return registry.register("summarizer", logged.model_id, run_id, key, {"retune.a": key})

    return make
