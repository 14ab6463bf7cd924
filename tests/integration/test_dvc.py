"""`dvc repro` and the flow on a copy of the project whose demo is made small."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tasks.stage import digests_of_files, read_json
from tests.integration.conftest import COMMAND, REPOSITORY, Company, environment
from tests.toy import STAGES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own code
]
PARTS = ("tasks", "flows", "configs", ".dvc", "data/probes", "dvc.yaml", ".dvcignore")
RECIPE = """\
name: support-chat
base_model: {path: models/pocket-flan}
tasks: [{name: support_summary, source: {path: data/support_chat.jsonl}, prompts: dialogue_summary}]
split: {seed: 7}
train: {epochs: 1, learning_rate: 5e-3, batch_tokens: 512, max_prompt_tokens: 160, precision: fp32}
generation: {max_new_tokens: 12}
test: {resamples: 1000}
forgetting: {probes: general}
registry: {model: support-summarizer}
"""
SUITE = """\
name: general
probes: [{name: counting, source: {path: data/probes/counting.jsonl}, prompts: dates}]
"""


class Project:
    """A copy of the project, with a git and a DVC repository of its own."""

    def __init__(self, folder: Path, company: Company) -> None:
        self.folder = folder
        for part in PARTS:
            source, target = REPOSITORY / part, folder / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "tmp"))
            else:
                shutil.copy(source, target)
        (folder / ".venv").symlink_to(sys.prefix)
        shutil.copytree(company.folder / "base", folder / "models" / "pocket-flan")
        shutil.copy(company.chats, folder / "data" / "support_chat.jsonl")
        shutil.copy(company.folder / "counting.jsonl", folder / "data" / "probes")
        (folder / "configs" / "recipes" / "support_chat.yaml").write_text(RECIPE)
        (folder / "configs" / "forgetting" / "general.yaml").write_text(SUITE)
        (folder / ".gitignore").write_text(".retune/\n.venv\n")
        self.run("git", "init", "--quiet")

    def at(self, folder: Path) -> "Project":
        """The same project in another folder."""
        other = copy(self)
        other.folder = folder
        return other

    def commit(self) -> None:
        self.run("git", "add", ".")
        identity = ("-c", "user.name=Ana", "-c", "user.email=ana@example.org")
        self.run("git", *identity, "commit", "--quiet", "--allow-empty", "--message", "as it is")

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    @property
    def environment(self) -> Mapping[str, str]:
        return {**environment(self.folder / ".retune"), "PYTHONPATH": str(self.folder)}

    @property
    def digests(self) -> dict[str, str]:
        """Stage -> digest of what it made."""
        workspace = self.folder / ".retune" / "workspaces" / "support-chat"
        return {stage: read_json(workspace / stage / "manifest.json")["digest"] for stage in STAGES}

    @property
    def made(self) -> dict[str, int]:
        """Stage -> when it was made."""
        workspace = self.folder / ".retune" / "workspaces" / "support-chat"
        return {stage: (workspace / stage / "manifest.json").stat().st_mtime_ns for stage in STAGES}

    @property
    def states(self) -> list[str]:
        """What `retune run` does with each stage."""
        document = self.run(*COMMAND, "run", "configs/recipes/support_chat.yaml", "--json")
        return [stage["state"] for stage in json.loads(document)["stages"].values()]


@pytest.fixture(scope="module")
def by_dvc(company: Company, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("by_dvc"), company)
    project.dvc("repro")
    return project


def test_dvc_repro_and_the_flow_make_the_same(
    company: Company, by_dvc: Project, tmp_path: Path
) -> None:
    by_flow = Project(tmp_path, company)
    assert by_flow.states == ["ran"] * 8
    assert by_flow.digests == by_dvc.digests
    assert "up to date" in by_flow.dvc("status")
    assert "didn't change" in by_flow.dvc("repro")
    assert by_dvc.states == ["reused"] * 8


def test_dvc_shows_metrics_and_plots(by_dvc: Project) -> None:
    shown = json.loads(by_dvc.dvc("metrics", "show", "--json"))[""]["data"]
    [test] = [content for name, content in shown.items() if name.endswith("test/metrics.json")]
    assert set(test["data"]["ways"]) == {"base", "one_shot", "few_shot", "few_shot_5", "tuned"}
    plots = json.loads(by_dvc.dvc("plots", "show", "--json"))["data"]
    assert {"loss", "validation_token_accuracy"} == set(plots)


def test_stages_run_by_dvc_share_one_mlflow_run(by_dvc: Project) -> None:
    client = MlflowClient(f"sqlite:///{by_dvc.folder / '.retune' / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    [run] = client.search_runs(experiments)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == "1"
    steps: list[Any] = client.get_metric_history(run.info.run_id, "train/loss")
    assert [metric.step for metric in steps] == list(range(1, len(steps) + 1))
    assert len(steps) > 1
    [version] = client.search_model_versions("name='support-summarizer'")
    assert version.run_id == run.info.run_id


def test_a_clone_pulls_what_was_made(by_dvc: Project, tmp_path: Path) -> None:
    by_dvc.dvc("remote", "add", "--default", "store", str(tmp_path / "store"))
    by_dvc.commit()
    by_dvc.dvc("push", "--quiet")
    by_dvc.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    pulled = by_dvc.at(tmp_path / "clone")
    pulled.dvc("pull", "--quiet")
    assert pulled.digests == by_dvc.digests
    workspace = pulled.folder / ".retune" / "workspaces" / "support-chat"
    for stage in STAGES:
        made = read_json(workspace / stage / "manifest.json")
        assert digests_of_files(workspace / stage) == made["outputs"] | made["volatile"]


def test_an_experiment_of_dvc_lands_in_mlflow(by_dvc: Project) -> None:
    by_dvc.commit()
    changed = "configs/recipes/support_chat.yaml:train.epochs=2"
    by_dvc.dvc("exp", "run", "--quiet", "--name", "longer", "--set-param", changed)
    assert "longer" in by_dvc.dvc("exp", "list", "--name-only")
    client = MlflowClient(f"sqlite:///{by_dvc.folder / '.retune' / 'mlflow.db'}")
    [version] = client.search_model_versions("name='support-summarizer'", max_results=1)
    run = client.get_run(version.run_id)
    assert (version.version, run.data.params["train.epochs"]) == (2, "2")
    assert run.info.status == "FINISHED"


def test_dvc_calls_every_stage_after_a_change_and_those_reuse_what_it_leaves_alone(
    by_dvc: Project,
) -> None:
    before = by_dvc.made
    recipe = by_dvc.folder / "configs" / "recipes" / "support_chat.yaml"
    text = recipe.read_text(encoding="utf-8")
    assert "split: {seed: 7}\n" in text
    recipe.write_text(text.replace("split: {seed: 7}\n", "mixture: {cap: 100000}\n"))
    by_dvc.dvc("repro")
    after = by_dvc.made
    assert "up to date" in by_dvc.dvc("status")
    assert [stage for stage in STAGES if after[stage] != before[stage]] == ["train", "register"]
