"""Both servers on a real PostgreSQL, artifacts on S3, and a worker that is killed in mid-run."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from tests.integration.conftest import (
    COMMAND,
    REPOSITORY,
    Company,
    environment,
    processes_of,
)
from tests.servers import (
    PASSWORD,
    PROGRAMS,
    PostgreSQL,
    Service,
    mlflow_server,
    prefect_server,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (PROGRAMS / "initdb").exists(), reason="no PostgreSQL"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of moto's own code
]

PATIENCE_S = 600.0
MODEL = "clerk-chats"
KEYS = {
    "AWS_ACCESS_KEY_ID": "retune",
    "AWS_SECRET_ACCESS_KEY": "geheim",
    "AWS_DEFAULT_REGION": "us-east-1",
}
COUNT = "select table_name || ' ' || (xpath('/row/c/text()', query_to_xml(format("
COUNT += "'select count(*) as c from %I', table_name), false, true, '')))[1]"
COUNT += " from information_schema.tables where table_schema = 'public' order by 1"
"""Every table with its number of rows."""


@dataclass
class Site:
    """What a company has: databases, servers, a bucket, and a machine with a worker."""

    database: PostgreSQL
    s3: str
    prefect: Service
    mlflow: Service
    home: Path
    worker: "subprocess.Popen[bytes] | None" = None

    @property
    def client(self) -> dict[str, str]:
        """The variables of the worker and of everybody else who asks."""
        return {
            **environment(self.home),
            "PREFECT_API_URL": f"{self.prefect.url}/api",
            "MLFLOW_TRACKING_URI": self.mlflow.url,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=REPOSITORY, env=self.client, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.logs
        return done.stdout

    def start_worker(self) -> None:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "retune"]
        with (self.home / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [*command, "--type", "process", "--install-policy", "never"],
                cwd=self.home, env=self.client, stdout=log, stderr=log,
            )  # fmt: skip

    def kill_machine(self) -> None:
        """What a power cut or the end of a container does: the worker, and all that it started."""
        assert self.worker
        self.worker.kill()
        self.worker.wait()
        for process in processes_of(self.home):
            process.kill()

    def state_of(self, flow_run: str) -> str:
        found = requests.get(f"{self.prefect.url}/api/flow_runs/{flow_run}", timeout=60).json()
        return str(found["state_name"])

    def wait_for(self, happens: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not happens():
            assert time.monotonic() < deadline, self.logs
            time.sleep(0.1)

    @property
    def logs(self) -> str:
        files = (self.home / "worker.log", self.prefect.log, self.mlflow.log)
        return "\n".join(f"{f.name}\n{f.read_text()[-4000:]}" for f in files if f.exists())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, database = tmp_path_factory.mktemp("site"), PostgreSQL()
    s3 = ThreadedMotoServer("127.0.0.1", port=0)
    s3.start()
    host, port = s3.get_host_and_port()
    address = f"http://{host}:{port}"
    database.start()
    for name in ("prefect", "mlflow"):
        database.sql("postgres", f"create database {name}")
    prefect = prefect_server(
        folder, PREFECT_SERVER_DATABASE_CONNECTION_URL=database.url("asyncpg", "prefect")
    )
    storage = {**KEYS, "MLFLOW_S3_ENDPOINT_URL": address}
    mlflow = mlflow_server(folder, database.url("psycopg2", "mlflow"), "s3://mlflow", **storage)
    (folder / "home").mkdir()
    site = Site(database, address, prefect, mlflow, folder / "home")
    bucket(site).create()
    try:
        for server in (prefect, mlflow):
            server.start()
        for server in (prefect, mlflow):
            server.wait()
        yield site
    finally:
        if site.worker:
            site.kill_machine()
        for server in (prefect, mlflow):
            server.kill()
        s3.stop()
        database.stop()
        database.remove()


def bucket(site: Site) -> Any:
    names = {name.lower(): value for name, value in KEYS.items() if name.endswith(("ID", "KEY"))}
    session: Any = boto3.Session(region_name="us-east-1", **names)
    return session.resource("s3", endpoint_url=site.s3).Bucket("mlflow")


@pytest.fixture(scope="module")
def recovered(site: Site, company: Company) -> str:
    """The id of a deployment's run whose machine was killed in the middle, and started again."""
    site.run(*COMMAND, "deploy")
    site.start_worker()
    recipe = ("--param", f"recipe={company.recipe}")
    prefect = (sys.executable, "-m", "prefect")
    asked = site.run(*prefect, "deployment", "run", "finetune/finetune", *recipe)
    flow_run = asked.partition("UUID: ")[2].split()[0]
    scratch = site.home / "workspaces" / "chats" / ".train.scratch"
    site.wait_for(lambda: list(scratch.glob("*/checkpoint-*.pt")))
    site.kill_machine()
    assert site.state_of(flow_run) == "Running"  # nobody is left to say otherwise
    site.start_worker()
    again = json.dumps({"state": {"type": "SCHEDULED"}, "force": True})
    site.run(*prefect, "api", "POST", f"/flow_runs/{flow_run}/set_state", "--data", again)
    site.wait_for(lambda: site.state_of(flow_run) in ("Completed", "Failed", "Crashed"))
    assert site.state_of(flow_run) == "Completed", site.logs
    return flow_run


def test_a_killed_run_goes_on_with_the_next_worker(site: Site, recovered: str) -> None:
    assert "train: resumed step" in (site.home / "worker.log").read_text()
    [version] = json.loads(site.run(*COMMAND, "models", "--json"))
    assert (version["model"], str(version["version"])) == (MODEL, "1")
    assert sorted(version["aliases"]) == ["challenger", "champion"]
    stored = [found.key for found in bucket(site).objects.all()]
    assert [key for key in stored if key.endswith("model.safetensors")]
    assert json.loads(site.run(*COMMAND, "verify", f"{MODEL}@champion", "--json"))
    runs = site.database.sql("mlflow", "select status from runs").splitlines()
    assert runs == ["FINISHED"]


def test_the_databases_are_backed_up_and_restored(
    site: Site, recovered: str, tmp_path: Path
) -> None:
    names = ("prefect", "mlflow")
    called(site, "back-up", tmp_path / "backup")
    for server in (site.prefect, site.mlflow):
        server.kill()
    site.kill_machine()
    before = site.database.sql("mlflow", COUNT)
    for name in names:
        site.database.sql("postgres", f"drop database {name} with (force)")
    called(site, "restore", tmp_path / "backup")
    asked_for = "select count(*) from flow_run where not auto_scheduled"
    assert site.database.sql("prefect", asked_for).strip() == "1"
    assert "model_versions 1" in before
    assert site.database.sql("mlflow", COUNT) == before
    for server in (site.prefect, site.mlflow):
        server.start()
    for server in (site.prefect, site.mlflow):
        server.wait()
    assert site.state_of(recovered) == "Completed"
    assert json.loads(site.run(*COMMAND, "verify", f"{MODEL}@champion", "--json"))


def called(site: Site, script: str, folder: Path) -> None:
    done = subprocess.run(
        [REPOSITORY / "infra" / "postgres" / script, folder],
        env=site.database.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_no_password_is_told(site: Site, recovered: str) -> None:
    files = [path for path in site.home.parent.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []
