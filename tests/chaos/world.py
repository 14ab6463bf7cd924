"""A made-up company, its recipe as nobody disturbed it, and worlds to disturb it in.

reference = Reference(folder)
world = World(reference, folder / "1", start="train", seed=7)   # ingest, template, split are made
world.run(); world.problems()  ->  []
"""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from tasks.stage import digests_of_files, read_json
from tasks.tracking.lineage import DIGEST_OF_STAGE
from tasks.tracking.registry import KEY_TAG, has_files
from tests.conftest import make_tiny_tokenizer, save_tiny_t5
from tests.integration.conftest import (
    CHATS,
    COMMAND,
    REPOSITORY,
    Command,
    Ended,
    chats,
    environment,
    processes_of,
    write_rows,
)
from tests.servers import Service
from tests.toy import STAGES

MODEL = "clerk-chats"
RECIPE = """\
name: chats
base_model: {path: FOLDER/base}
tasks:
TASKS
train: {epochs: 4, learning_rate: 5e-3, batch_tokens: 512, max_prompt_tokens: 160,
        precision: fp32, checkpoint_minutes: 0.003, launch: {processes_per_node: 2}}
generation: {max_new_tokens: 12}
test: {resamples: 1000, baselines: [zero_shot]}
forgetting: {probes: FOLDER/suite.yaml}
registry: {model: clerk-chats}
"""
SUITE = """\
name: suite
probes: [{name: counting, source: {path: FOLDER/counting.jsonl}, prompts: dates}]
"""
LINEAGE = [f"retune.{name}_digest" for name in (*DIGEST_OF_STAGE, "base_model", "recipe")]
GONE_AFTER_S = 30.0


class Reference:
    """The run that nobody disturbs: what every trial must end with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        save_tiny_t5(folder / "base", make_tiny_tokenizer())
        counting = [{"question": f"What comes after {n}?", "answer": str(n + 1)} for n in range(20)]
        write_rows(folder / "counting.jsonl", counting)
        write_rows(folder / "chats.jsonl", chats(120))
        self.recipe = folder / "chats.yaml"
        self.recipe.write_text(RECIPE.replace("TASKS", CHATS).replace("FOLDER", str(folder)))
        (folder / "suite.yaml").write_text(SUITE.replace("FOLDER", str(folder)))
        self.home = folder / "home"
        self.home.mkdir()
        self._make_database()
        ended = Command(self.home, "run", str(self.recipe), "--json").end()
        assert ended.returncode == 0, ended.log
        self.seconds = ended.seconds

    def _make_database(self) -> None:
        """MLflow's tables, which take seconds to create."""
        self.database = self.folder / "empty.db"
        subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{self.database}"],
            check=True, capture_output=True, env=environment(self.home), cwd=self.folder,
        )  # fmt: skip
        shutil.copy(self.database, self.home / "mlflow.db")

    @property
    def workspace(self) -> Path:
        return self.home / "workspaces" / "chats"

    def seconds_of(self, stage: str) -> float:
        return float(read_json(self.workspace / stage / "manifest.json")["seconds"])

    @cached_property
    def digests(self) -> dict[str, str]:
        return digests_of(self.workspace)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.home / 'mlflow.db'}")

    @cached_property
    def version(self) -> ModelVersion:
        [version] = self.client.search_model_versions()
        return version

    @cached_property
    def aliases(self) -> dict[str, Any]:
        return dict(self.client.get_registered_model(MODEL).aliases)


class World:
    """A state folder whose first stages are made, and the commands that run on it."""

    def __init__(self, reference: Reference, folder: Path, start: str, seed: int) -> None:
        self.reference, self.folder, self.start = reference, folder, start
        self.draw = random.Random(seed)
        self.home = folder / "home"
        self.variables: dict[str, str] = {}
        self.services: list[Service] = []
        self.on_close: list[Callable[[], object]] = []
        self.moved: set[str] = set()
        self.after_s = self.fault_at = 0.0
        self.home.mkdir(parents=True)

    def fill(self) -> None:
        """Put the stages before `start`, and empty databases, into the state folder."""
        made = STAGES[: STAGES.index(self.start)]
        self.workspace.mkdir(parents=True)
        for stage in made:
            shutil.copytree(self.reference.workspace / stage, self.workspace / stage)
        shutil.copy(self.reference.database, self.home / "mlflow.db")
        shutil.copytree(self.reference.home / "prefect", self.home / "prefect")

    @property
    def workspace(self) -> Path:
        return self.home / "workspaces" / "chats"

    def command(self, name: str = "run") -> Command:
        """The run of the recipe, under way."""
        arguments = [name, str(self.reference.recipe), "--json"]
        return Command(self.home, *arguments, variables=self.variables)

    def run(self) -> Ended:
        """The same command again, to its end."""
        return self.command().end()

    def called(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Another `retune` command, beside the one under way."""
        return subprocess.run(
            [*COMMAND, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False,
            env={**environment(self.home), **self.variables},
        )  # fmt: skip

    def reach(self, command: Command) -> None:
        """Wait for a drawn moment of the stage `start`; the fault is then."""
        command.wait_for(lambda: f"{self.start}: started" in command.log)
        self.after_s = self.draw.uniform(0, self.reference.seconds_of(self.start))
        time.sleep(self.after_s)
        self.fault_at = time.monotonic()

    def children(self, module: str) -> list[Any]:
        return processes_of(self.home, module)

    def wait_until_gone(self) -> None:
        """Whatever a killed command had started ends by itself."""
        deadline = time.monotonic() + GONE_AFTER_S
        while left := processes_of(self.home):
            assert time.monotonic() < deadline, [process.cmdline() for process in left]
            time.sleep(0.05)

    def serve(self, service: Service, variable: str, path: str = "") -> Service:
        """Start a server that the commands use from now on."""
        service.start()
        self.services.append(service)
        service.wait()
        self.variables[variable] = service.url + path
        return service

    @property
    def tracking_uri(self) -> str:
        embedded = f"sqlite:///{self.home / 'mlflow.db'}"
        return self.variables.get("MLFLOW_TRACKING_URI", embedded)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.tracking_uri)

    def problems(self) -> list[str]:
        """What is not as after the run that nobody disturbed."""
        found: list[str] = []
        expected, client = self.reference.version, self.client
        versions = [
            version
            for version in client.search_model_versions(f"name = '{MODEL}'")
            if version.tags.get(KEY_TAG) == expected.tags[KEY_TAG]
        ]
        if len(versions) != 1:
            return [f"registered {len(versions)} times"]
        found += [
            f"{name} differs"
            for name in LINEAGE
            if versions[0].tags.get(name) != expected.tags[name]
        ]
        aliases = client.get_registered_model(MODEL).aliases
        for alias in set(self.reference.aliases) - self.moved:
            if str(aliases.get(alias)) != str(versions[0].version):
                found.append(f"{alias} is version {aliases.get(alias)}")
        return found + self._problems_of_files() + self._problems_of_run(versions[0])

    def _problems_of_files(self) -> list[str]:
        digests = digests_of(self.workspace)
        found = [
            f"{stage} has another digest"
            for stage in STAGES[:-1]
            if digests[stage] != self.reference.digests[stage]
        ]
        for stage in STAGES:
            made = read_json(self.workspace / stage / "manifest.json")
            if digests_of_files(self.workspace / stage) != made["outputs"] | made["volatile"]:
                found.append(f"files of {stage} are not those of its manifest")
        return found

    def _problems_of_run(self, version: ModelVersion) -> list[str]:
        client = self.client
        [experiment] = client.search_experiments(filter_string="name = 'chats'")
        runs = client.search_runs([experiment.experiment_id])
        if [run.info.run_id for run in runs] != [version.run_id]:
            return [f"{len(runs)} MLflow runs"]
        found = []
        if runs[0].info.status != "FINISHED":
            found.append(f"the MLflow run is {runs[0].info.status}")
        if STAGES.index(self.start) <= STAGES.index("train"):
            steps = read_json(self.workspace / "train" / "summary.json")["steps"]
            history = client.get_metric_history(version.run_id, "train/loss")
            if not {1, steps} <= {metric.step for metric in history}:
                found.append("losses are missing in MLflow")
        with patch.dict(os.environ, {"MLFLOW_TRACKING_URI": self.tracking_uri}):
            if not has_files(f"models:/{MODEL}/{version.version}"):
                found.append("the version has no files")
        return found

    def close(self) -> None:
        """Leave nothing behind."""
        for process in processes_of(self.home):
            process.kill()
        for service in self.services:
            service.kill()
        for step in reversed(self.on_close):
            step()
        shutil.rmtree(self.folder, ignore_errors=True)


def digests_of(workspace: Path) -> dict[str, str]:
    return {stage: read_json(workspace / stage / "manifest.json")["digest"] for stage in STAGES}
