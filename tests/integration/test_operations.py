"""A site at work: `retune up`, `retune deploy`, and runs that others ask the worker for."""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tasks.lock import workspace_lock
from tasks.running import running
from tests.integration.conftest import (
    CHATS,
    Command,
    Company,
    chats,
    environment,
    processes_of,
    retune,
    write_recipe,
    write_rows,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own code
]

GONE_AFTER_S = 40.0
PATIENCE_S = 300.0
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Site:
    """Servers and a worker under way, on the state of a run that came before them.

    Attributes:
        up: The command that runs them.
        prefect: URL of Prefect's API.
        mlflow: URL of MLflow.
        recipe: Of the run that came before.
        before: What that run printed.
    """

    up: Command
    prefect: str
    mlflow: str
    recipe: Path
    before: dict[str, Any]

    def ask(self, what: str, **filters: Any) -> Any:
        """A search by Prefect's API: `flow_runs`, `deployments`, ..."""
        answer = requests.post(f"{self.prefect}/{what}/filter", json=filters, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def flow_runs(self, flow: str) -> list[dict[str, Any]]:
        found = self.ask("flow_runs", flows={"name": {"any_": [flow]}}, sort="START_TIME_ASC")
        return list(found)

    def run(self, name: str, **parameters: Any) -> str:
        """Ask for a flow run of a deployment; its id."""
        [deployment] = self.ask("deployments", deployments={"name": {"any_": [name]}})
        url = f"{self.prefect}/deployments/{deployment['id']}/create_flow_run"
        answer = requests.post(url, json={"parameters": parameters}, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def mlflow_runs(self) -> list[str]:
        """The ids of all runs that MLflow has."""
        url = f"{self.mlflow}/api/2.0/mlflow"
        searched = requests.get(f"{url}/experiments/search", {"max_results": 99}, timeout=60).json()
        ids = [found["experiment_id"] for found in searched["experiments"]]
        found = requests.post(f"{url}/runs/search", json={"experiment_ids": ids}, timeout=60).json()
        return sorted(run["info"]["run_id"] for run in found["runs"])

    def wait_for(self, happens: Callable[[], Any]) -> Any:
        return wait_for(happens, self)

    @property
    def logs(self) -> str:
        files = (self.up.home / "logs").glob("*.log")
        return "\n".join(f"{file.name}\n{file.read_text()[-4000:]}" for file in files)


def wait_for(happens: Callable[[], Any], site: Site) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := happens()):
        assert time.monotonic() < deadline, site.logs
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def site(company: Company, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    home = folder / "home"
    write_rows(company.folder / "site.jsonl", chats(120))
    recipe = write_recipe(company.folder, "site", CHATS.replace("chats.jsonl", "site.jsonl"))
    before = retune(home, "run", str(recipe), "--set", "train.epochs=1", "--json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_WORKER_QUERY_SECONDS", "1")
        up = Command(home, "up")
    try:
        addresses = up.wait_for(lambda: running(home))
        yield Site(up, addresses["prefect"], addresses["mlflow"], recipe, before.result)
    finally:
        up.kill()


@pytest.fixture(scope="module")
def deployed(site: Site) -> Site:
    done = retune(site.up.home, "deploy")
    assert done.returncode == 0, done.log
    return site


def test_what_ran_before_is_visible(site: Site) -> None:
    assert [run["state_type"] for run in site.flow_runs("finetune")] == ["COMPLETED"]
    url = f"{site.mlflow}/api/2.0/mlflow/runs/get"
    run = requests.get(url, params={"run_id": site.before["run_id"]}, timeout=60).json()["run"]
    assert run["info"]["status"] == "FINISHED"
    for page in (site.prefect.removesuffix("/api"), site.mlflow):
        assert "<html" in requests.get(page, timeout=60).text.lower()


def test_a_second_up_is_told_of_the_first(site: Site) -> None:
    second = retune(site.up.home, "up")
    assert second.returncode == 2
    assert f"`retune up` as process {site.up.process.pid}" in second.log


def test_every_parameter_of_a_deployment_is_documented(deployed: Site) -> None:
    for deployment in deployed.ask("deployments"):
        assert deployment["description"], deployment["name"]
        for name, parameter in deployment["parameter_openapi_schema"]["properties"].items():
            assert parameter["description"], f"{deployment['name']}: {name}"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that everybody may use; pytest's own are for its user alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def python_of_somebody_else() -> list[str]:
    """Starts Python as another user, where this one may do that and there is a Python for all."""
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if os.geteuid() != 0 or not Path(python).exists():
        return [sys.executable]
    packages = f"PYTHONPATH={sysconfig.get_path('purelib')}"
    return ["runuser", "-u", "nobody", "--", "env", packages, python]


def test_schedules_create_runs_ahead_of_time(deployed: Site) -> None:
    [retrain] = deployed.ask("deployments", deployments={"name": {"any_": ["retrain"]}})
    [schedule] = retrain["schedules"]

    def planned() -> list[dict[str, Any]]:
        return [
            run
            for run in deployed.flow_runs("retrain")
            if run["auto_scheduled"] and run["state_name"] == "Scheduled"
        ]

    runs = deployed.wait_for(planned)
    assert {run["created_by"]["id"] for run in runs} == {schedule["id"]}
    assert all(run["parameters"] == schedule["parameters"] for run in runs)


def test_the_worker_runs_a_deployment_for_somebody_elsewhere(
    deployed: Site, elsewhere: Path
) -> None:
    arguments = ("finetune/finetune", "--param", f"recipe={deployed.recipe}")
    changed = ("--param", 'overrides=["train.epochs=1","registry.min_gain=0.5"]')
    theirs = {"HOME": str(elsewhere), "PREFECT_API_URL": deployed.prefect}
    done = subprocess.run(
        [*python_of_somebody_else(), "-m", "prefect", "deployment", "run", *arguments, *changed],
        cwd=elsewhere, env={**environment(elsewhere), **theirs},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = deployed.wait_for(lambda: ended(deployed.flow_runs("finetune")[1:]))[0]
    assert run["state_type"] == "COMPLETED", deployed.logs
    result = deployed.up.home / "workspaces" / "site" / "register" / "result.json"
    assert json.loads(result.read_text(encoding="utf-8"))["recipe"] == "site"


def test_a_deployed_run_waits_for_whoever_holds_the_workspace(deployed: Site) -> None:
    def found() -> list[dict[str, Any]]:
        return [each for each in deployed.flow_runs("retrain") if each["id"] == run]

    def waits() -> bool:
        logs = deployed.ask("logs", logs={"flow_run_id": {"any_": [run]}})
        return any(f"held by process {os.getpid()}" in log["message"] for log in logs)

    with workspace_lock(deployed.up.home / "workspaces" / "site"):
        run = deployed.run("retrain", recipe=str(deployed.recipe))
        deployed.wait_for(waits)
        assert [each["state_name"] for each in found()] == ["Running"]
    [done] = deployed.wait_for(lambda: ended(found()))
    assert done["state_name"] == "NothingNew", deployed.logs


def test_what_was_made_from_the_newest_data_is_not_made_again(site: Site) -> None:
    before = site.mlflow_runs()
    again = retune(site.up.home, "retrain", str(site.recipe), "--json")
    assert again.returncode == 0, again.log
    assert (again.result["outcome"], again.result["result"]) == ("nothing new", None)
    assert site.mlflow_runs() == before


def test_a_sudden_change_starts_a_retraining_that_waits_for_a_person(deployed: Site) -> None:
    """From the watcher's event through the automation to the suspended run, and an answer."""
    write_rows(deployed.recipe.with_name("site.jsonl"), chats(50))
    known = {run["id"] for run in deployed.flow_runs("retrain")}

    def started() -> list[dict[str, Any]]:
        return [run for run in deployed.flow_runs("retrain") if run["id"] not in known]

    def named(*names: str) -> list[dict[str, Any]]:
        return [run for run in started() if run["state_name"] in names]

    deployed.run("watch", recipes=[str(deployed.recipe)])
    [waiting] = deployed.wait_for(lambda: named("Suspended", "Failed", "Crashed"))
    assert waiting["state_name"] == "Suspended", deployed.logs
    assert waiting["parameters"]["recipe"] == str(deployed.recipe)
    answer = ("--by", "Ana", "--no", "--comment", "The export was cut off.")
    assert retune(deployed.up.home, "approve", waiting["id"], *answer).returncode == 0
    [refused] = deployed.wait_for(lambda: ended(started()))
    assert refused["state_name"] == "Refused", deployed.logs
    told = deployed.ask("artifacts", artifacts={"key": {"any_": ["retrain-site"]}})
    assert any("chats: 50 records, where there were 120" in found["data"] for found in told)
    assert retune(deployed.up.home, "approve", waiting["id"], *answer).returncode == 2
    repeated = deployed.run("watch", recipes=[str(deployed.recipe)])
    deployed.wait_for(
        lambda: ended([r for r in deployed.flow_runs("watch") if r["id"] == repeated])
    )
    assert [run["id"] for run in started()] == [waiting["id"]]  # told of once


def ended(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return runs if runs and all(run["state_type"] in FINAL for run in runs) else []


def test_all_that_it_started_ends_with_it(site: Site) -> None:
    assert len(processes_of(site.up.home)) > 6
    site.up.kill()
    deadline = time.monotonic() + GONE_AFTER_S
    while left := processes_of(site.up.home):
        assert time.monotonic() < deadline, [process.cmdline() for process in left]
        time.sleep(0.2)
    assert running(site.up.home) == {}
