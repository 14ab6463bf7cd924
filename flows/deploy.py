"""`retune deploy`: work pool, concurrency limit and deployments, as `prefect.yaml` has them.

    deploy(pool=None, kind=Kind.process, accelerators=1)

`place` is a build step of that file, so Prefect's own `prefect deploy --all` does the same.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.accelerators import LIMIT, num_accelerators
from flows.configured_server import check_server
from flows.pools import CONTAINER_FOLDER, CONTAINER_HOME, CONTAINERS, Kind, job_template
from tasks.errors import BadInput, RetuneError
from tasks.home import prepare_environment, state_home, without_password

FILE = "prefect.yaml"
ROOT = Path(__file__).parents[1]


def place(pool: str) -> dict[str, str]:
    """Where the runs of a pool's deployments take place; a build step of `prefect.yaml`.

    Args:
        pool: Name of the work pool.

    Returns:
        `folder`, where relative paths start, `home`, the state folder, and `mlflow`, the tracking
        URI: all absolute, so that neither the worker's folder nor its user matter.

    Raises:
        BadInput: A container could not reach MLflow's database, or a password would be published.
    """
    prepare_environment()
    tracking = os.environ["MLFLOW_TRACKING_URI"]
    if without_password(tracking) != tracking:
        mend = "put it into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD of the worker"
        if not tracking.startswith("http"):
            mend = "put it where the database's driver looks for it, PGPASSWORD of the worker, say"
        raise BadInput("MLFLOW_TRACKING_URI", "a URI without a password", "one with it", mend)
    with get_client(sync_client=True) as client:
        is_container = client.read_work_pool(pool).type in CONTAINERS
    if not is_container:
        return {"folder": str(Path.cwd()), "home": str(state_home()), "mlflow": tracking}
    if not tracking.startswith("http"):
        found, mend = f"{tracking}, a file of this machine", "start a server, and name it there"
        raise BadInput("MLFLOW_TRACKING_URI", "an MLflow server for containers", found, mend)
    return {"folder": CONTAINER_FOLDER, "home": CONTAINER_HOME, "mlflow": tracking}


def deploy(pool: str | None, kind: Kind, accelerators: int | None) -> list[tuple[str, str]]:
    """Create or update work pools, the concurrency limit and all deployments.

    Args:
        pool: Work pool of all deployments; None leaves those that `prefect.yaml` names.
        kind: Kind of the work pools that are new.
        accelerators: Tasks that may compute with a model at once; None leaves the limit that is
            there, or makes it 1.

    Returns:
        Name and work pool of each deployment.

    Raises:
        BadInput: There is no server, or `prefect.yaml` can't be used.
        RetuneError: Prefect refuses a deployment; with what it says.
    """
    check_server()
    content = _read(Path(FILE) if Path(FILE).exists() else ROOT / FILE)
    if pool:
        _move_to(content, pool)
    with get_client(sync_client=True) as client:
        for name in sorted({entry["work_pool"]["name"] for entry in content["deployments"]}):
            _ensure_pool(client, name, kind)
        _limit(client, accelerators)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        YAML(typ="safe", pure=True).dump(content, file)
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        done = subprocess.run(
            [*command, "--prefect-file", str(file)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise RetuneError(f"Prefect refused to deploy:\n{done.stdout}{done.stderr}")
    return [(entry["name"], entry["work_pool"]["name"]) for entry in content["deployments"]]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe", pure=True).load(path)
    except YAMLError as error:
        raise BadInput(str(path), "YAML", str(error)) from None
    entries = content.get("deployments") if isinstance(content, dict) else None
    if not (isinstance(entries, list) and entries):
        raise BadInput(str(path), "a list of deployments", "none")
    for number, entry in enumerate(entries, start=1):
        fields = entry if isinstance(entry, dict) else {}
        pool = fields.get("work_pool")
        if not (isinstance(pool, dict) and "name" in pool and "name" in fields):
            where = f"{path}: {fields.get('name', f'deployment {number}')}"
            raise BadInput(where, "a deployment with a name, and a work_pool with one", "none")
    return dict(content)


def _move_to(content: dict[str, Any], pool: str) -> None:
    for entry in content["deployments"]:
        entry["work_pool"] = {**entry["work_pool"], "name": pool}
    for step in content.get("build") or []:
        for options in step.values():
            if "pool" in options:
                options["pool"] = pool


def _ensure_pool(client: SyncPrefectClient, name: str, kind: Kind) -> None:
    try:
        found = client.read_work_pool(name).type
    except ObjectNotFound:
        template = job_template(kind)
        client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
        return
    if found != kind:
        mend = f"use --type {found}, or --pool with another name"
        raise BadInput(f"work pool {name}", f"type {kind}", f"type {found}", mend)


def _limit(client: SyncPrefectClient, accelerators: int | None) -> None:
    """Limit how many accelerators may be in use at once."""
    if accelerators is None:
        accelerators = num_accelerators(client) or 1
    client.upsert_global_concurrency_limit_by_name(LIMIT, accelerators)
