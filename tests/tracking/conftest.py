"""What the tracking tests share."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
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


class Server:
    """A real `mlflow server` that can be killed and started again on the same port."""

    def __init__(self, folder: Path, database: Path) -> None:
        shutil.copy(database, folder / "server.db")
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # starts sooner
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        for _ in range(900):
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
                time.sleep(0.2)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> Iterator[Server]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder, empty_database)
    monkeypatch.setenv("RETUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.chdir(tmp_path)
    server.start()
    server.wait()
    yield server
    server.kill()
