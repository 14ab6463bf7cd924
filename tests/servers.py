"""Real servers of Prefect, MLflow and PostgreSQL that a test starts, kills and starts again."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flows.local_server import HOST, free_port, wait_until_ready

PATIENCE_S = 600.0
PASSWORD = "planted-4e8c1b"
PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/bin"))


def plain_environment() -> dict[str, str]:
    """This process's variables without what it was told of servers and state."""
    told = ("PREFECT_", "MLFLOW_", "RETUNE_", "AWS_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(told)}


class Service:
    """A server in a process group of its own."""

    def __init__(
        self, name: str, folder: Path, command: list[str], port: int, path: str,
        environment: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.name, self.folder, self.command = name, folder, command
        self.environment = {**plain_environment(), **environment}
        self.url = f"http://{HOST}:{port}"
        self.health = self.url + path
        self.log = folder / f"{name}.log"
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command], cwd=self.folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        wait_until_ready(self.name, self.process, self.health, self.log, PATIENCE_S)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def mlflow_server(folder: Path, database: str, artifacts: str, **environment: str) -> Service:
    """As `infra/` starts it: the database by the environment, artifacts through the server."""
    port = port_of_its_own()
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", artifacts]
    told = {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return Service("mlflow", folder, command, port, "/health", told | environment)


def prefect_server(folder: Path, **environment: str) -> Service:
    """As `infra/` starts it; on SQLite in the folder where the environment names no database."""
    port = port_of_its_own()
    command = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    told = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_UI_STATIC_DIRECTORY": str(folder / "ui"),
    }
    return Service("prefect", folder, command, port, "/api/health", told | environment)


def port_of_its_own() -> int:
    port = free_port()
    assert port
    return port


class PostgreSQL:
    """A new cluster with a password, on loopback; PostgreSQL does not run as root."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="retune-postgres-"))
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.user:
            os.chown(self.folder, pwd.getpwnam("postgres").pw_uid, -1)
        self.port = port_of_its_own()
        (self.folder / "password").write_text(PASSWORD)
        os.chmod(self.folder / "password", 0o644)
        told = ["--auth", "scram-sha-256", "--username", "retune", "--no-sync"]
        self._run("initdb", *told, "--pwfile", str(self.folder / "password"))

    @property
    def environment(self) -> dict[str, str]:
        """What PostgreSQL's own clients, and the scripts of `infra/postgres/`, go by."""
        address = {"PGHOST": HOST, "PGPORT": str(self.port), "PGUSER": "retune"}
        path = f"{PROGRAMS}:{os.environ['PATH']}"
        return {**plain_environment(), **address, "PGPASSWORD": PASSWORD, "PATH": path}

    def url(self, driver: str, database: str) -> str:
        return f"postgresql+{driver}://retune:{PASSWORD}@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses={HOST} -c fsync=off"
        options += f" -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def sql(self, database: str, text: str) -> str:
        """What a statement answers, one row a line."""
        command = [str(PROGRAMS / "psql"), "--no-psqlrc", "--tuples-only", "--no-align"]
        return subprocess.run(
            [*command, "--command", text, database],
            env=self.environment, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    def stop(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "stop")

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        data = ["-D", str(self.folder / "data")]
        done = subprocess.run(
            [*self.user, str(PROGRAMS / program), *data, *arguments], cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
