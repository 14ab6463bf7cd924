"""The deployment in prefect.yaml, for real: server, pool, deploy, worker, run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.temporary_server import temporary_server
from tests.toy import save_model

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

PREFECT = [sys.executable, "-m", "prefect"]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.delenv("PREFECT_PROFILE", raising=False)
        with temporary_server() as wait_until_ready:
            wait_until_ready()
            own = {
                "RETUNE_HOME": str(tmp_path / "home"),
                "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
                "PYTHONPATH": str(REPOSITORY),
                "PREFECT_CLI_COLORS": "false",
            }
            yield dict(os.environ) | own


def prefect(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PREFECT, *arguments],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_worker_runs_the_deployment(environment, tmp_path):
    recipe = write_recipe(tmp_path)
    for arguments in (
        ("work-pool", "create", "retune", "--type", "process"),
        ("--no-prompt", "deploy", "--all"),
        ("deployment", "run", "finetune/finetune", "--param", f"recipe={recipe}"),
    ):
        done = prefect(environment, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    worker = prefect(environment, "worker", "start", "--pool", "retune", "--run-once")
    assert worker.returncode == 0, worker.stdout + worker.stderr
    runs = json.loads(prefect(environment, "flow-run", "ls", "--output", "json").stdout)
    assert [(run["name"], run["state"]["type"]) for run in runs] == [("talk", "COMPLETED")], (
        worker.stdout + worker.stderr
    )
    result = tmp_path / "home" / "workspaces" / "talk" / "register" / "result.json"
    assert json.loads(result.read_text(encoding="utf-8"))["model"] == "talker"


def write_recipe(folder: Path) -> Path:
    """The smallest run that is one: a random T5 of a few thousand weights, 40 dialogues."""
    base = save_model(folder / "tiny_t5", "t5")
    recipe = folder / "talk.yaml"
    recipe.write_text(
        "name: talk\n"
        f"base_model: {{path: {base}}}\n"
        "tasks:\n"
        f"  - {{name: talk, source: {{path: {REPOSITORY}/data/support_chat.jsonl}},"
        " prompts: dialogue_summary, max_examples: 40}\n"
        "train: {epochs: 1, max_prompt_tokens: 2048, max_completion_tokens: 512}\n"
        "generation: {max_new_tokens: 4}\n"
        "test: {resamples: 1000, baselines: [zero_shot]}\n"
        "forgetting: {probes: null}\n"
        "registry: {model: talker}\n"
    )
    return recipe
