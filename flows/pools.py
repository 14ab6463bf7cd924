"""The kinds of work pools: where the runs of a deployment take place.

process     as processes of the worker, on its machine
docker      each in a container of its own, with a GPU     infra/pools/docker.json
kubernetes  each as a job of its own, with a GPU           infra/pools/kubernetes.json
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parents[1] / "infra" / "pools"

CONTAINER_FOLDER = "/work"
"""Where a container has recipes and data."""

CONTAINER_HOME = "/state"


class Kind(StrEnum):
    """A kind of work pool, by Prefect's name for it."""

    process = "process"
    docker = "docker"
    kubernetes = "kubernetes"


CONTAINERS = (Kind.docker, Kind.kubernetes)


def job_template(kind: Kind) -> dict[str, Any]:
    """What a new pool runs jobs by: their configuration, and the variables that fill it."""
    if kind is Kind.process:
        from prefect.workers.process import ProcessWorker  # `retune --help` does without

        return ProcessWorker.get_default_base_job_template()
    text = (TEMPLATES / f"{kind}.json").read_text(encoding="utf-8")
    template: dict[str, Any] = json.loads(text)
    return template
