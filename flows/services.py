"""`retune up`: a Prefect server, an MLflow server and a worker, on the state of embedded runs.

    with services(Ports(), "retune") as found:
        found.watch(print)

All are bound to this machine's own address. They end with the block, or with this process however
that ends, and take what they started with them: flow runs, training, scoring.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from subprocess import Popen

import requests

from flows.guard import GRACE_S, ORPHANS_GRACE_S, end_guard_with_parent, guarded
from flows.local_server import (
    HOST,
    answers,
    failed,
    free_port,
    keep_from_proxy,
    start,
    stop,
    wait_until_ready,
)
from tasks.errors import BadInput
from tasks.home import state_home, without_password
from tasks.running import announce, announced

PREFECT_PORT, MLFLOW_PORT = 4200, 5000
LEASES_ON_DISK = "prefect.server.concurrency.lease_storage.filesystem"
WATCH_S = 1.0
TIMEOUT_S = 10.0
POLLS_PER_HEALTH_CHECK = 10


@dataclass(frozen=True)
class Ports:
    """Which ports to listen on; None takes the usual one, or a free one where that is taken."""

    prefect: int | None = None
    mlflow: int | None = None


@dataclass(frozen=True)
class Service:
    """One that runs.

    Attributes:
        name: Such as `mlflow`.
        address: What to open or to set a client to.
        health: URL that answers 200 while it works.
        log: File with what it prints.
        process: The guard above it; None for a server of the user's own.
    """

    name: str
    address: str
    health: str
    log: Path
    process: "Popen[bytes] | None"

    def answers(self) -> bool:
        """Whether it answers; the user's own server may refuse, as it may want a password."""
        return answers(self.health) if self.process else _responds(self.health)


@dataclass(frozen=True)
class Services:
    """All that run, in the order in which they were started."""

    services: tuple[Service, ...]

    def watch(self, tell: Callable[[str], None]) -> None:
        """Look after them until one ends.

        Args:
            tell: Called when one stops answering, and when it answers again.

        Raises:
            RetuneError: One ended by itself; with the end of its log.
        """
        well = dict.fromkeys((service.name for service in self.services), True)
        for poll in range(sys.maxsize):
            for service in self.services:
                if service.process and service.process.poll() is not None:
                    raise failed(service.name, service.process, service.log)
                if poll % POLLS_PER_HEALTH_CHECK == 0:
                    now = service.answers()
                    if now != well[service.name]:
                        state = "answers again" if now else "does not answer"
                        tell(f"{service.name} {state}: {service.health}")
                    well[service.name] = now
            time.sleep(WATCH_S)


@contextmanager
def services(ports: Ports, pool: str) -> Iterator[Services]:
    """Start them, wait until they work, and end them with the block.

    Args:
        ports: Where the servers listen.
        pool: Work pool of the worker; made where it is new.

    Raises:
        BadInput: A port is taken, or the state folder has servers already.
        RetuneError: One does not start.
    """
    home = state_home()
    keep_from_proxy()
    with announced(home) as announcement, ExitStack() as started:
        prefect = _prefect(home, ports.prefect, started)
        os.environ["PREFECT_API_URL"] = prefect.address
        mlflow = _mlflow(home, ports.mlflow, started)
        for service in (prefect, mlflow):
            _wait_for(service)
        worker = _worker(home, pool, started)
        _wait_for(worker)
        announce(announcement, {"prefect": prefect.address, "mlflow": mlflow.address})
        yield Services((prefect, mlflow, worker))


def _prefect(home: Path, wanted: int | None, started: ExitStack) -> Service:
    port = _port("prefect", wanted, PREFECT_PORT)
    command = [sys.executable, "-m", "prefect", "server", "start"]
    command += ["--host", HOST, "--port", str(port)]
    address = f"http://{HOST}:{port}/api"
    environment = {
        "PREFECT_API_URL": address,
        # What fails in its background (its scheduler, say) is told nowhere but in its log.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
        # Who holds which slot; kept in memory, a restart would end runs and leave slots taken.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES_ON_DISK,
        # The package's own folder may belong to somebody else.
        "PREFECT_UI_STATIC_DIRECTORY": str(home / "prefect" / "ui"),
    }
    return _started("prefect", address, f"{address}/health", command, environment, started)


def _mlflow(home: Path, wanted: int | None, started: ExitStack) -> Service:
    database = os.environ["MLFLOW_TRACKING_URI"]
    if database.startswith("http"):  # the user has a server
        address = without_password(database)
        return Service("mlflow", address, f"{address.rstrip('/')}/health", Path(), None)
    from tasks.tracking.database import prepare_database

    prepare_database(database)
    port = _port("mlflow", wanted, MLFLOW_PORT)
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    command += ["--workers", "1"]
    # Clients on this machine write the files themselves, where embedded runs look for them.
    command += ["--no-serve-artifacts", "--default-artifact-root", (home / "mlartifacts").as_uri()]
    address = f"http://{HOST}:{port}"
    # Its own jobs (judges of traces) are nothing that Retune uses, and take seven processes.
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_BACKEND_STORE_URI": database,  # as an argument, all users would see its password
    }
    return _started("mlflow", address, f"{address}/health", command, environment, started)


def _worker(home: Path, pool: str, started: ExitStack) -> Service:
    port = free_port()
    command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--pool", pool]
    command += ["--type", "process", "--with-healthcheck", "--install-policy", "never"]
    health = f"http://{HOST}:{port}/health"
    environment = {
        "RETUNE_HOME": str(home),
        "PREFECT_WORKER_WEBSERVER_HOST": HOST,
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
    }
    return _started("worker", f"pool {pool}", health, command, environment, started)


def _started(
    name: str,
    address: str,
    health: str,
    command: list[str],
    environment: dict[str, str],
    started: ExitStack,
) -> Service:
    log = state_home() / "logs" / f"{name}.log"
    process = start(guarded(*command), log, end_guard_with_parent, environment)
    started.callback(stop, process, GRACE_S + 2 * ORPHANS_GRACE_S)
    return Service(name, address, health, log, process)


def _wait_for(service: Service) -> None:
    if service.process:
        wait_until_ready(service.name, service.process, service.health, service.log)


def _responds(url: str) -> bool:
    verify = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
    try:
        status = requests.get(url, timeout=TIMEOUT_S, verify=verify).status_code
    except requests.RequestException:
        return False
    return status < HTTPStatus.INTERNAL_SERVER_ERROR


def _port(name: str, wanted: int | None, usual: int) -> int:
    port = free_port(usual if wanted is None else wanted)
    if port is None and wanted is not None:
        mend = f"choose another one, or leave out --{name}-port and take any that is free"
        raise BadInput(f"--{name}-port {wanted}", "a free port", "one that is in use", mend)
    port = port or free_port()
    assert port, "the system gives out free ports"
    return port
