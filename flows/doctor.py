"""What `retune doctor` looks at: does this machine have what a run needs, and what will it use?

Check(name="memory", state="ok", found="31.2 GiB, 23.4 GiB available", mend="")
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from flows.configured_server import check_server, is_configured
from tasks.errors import BadInput
from tasks.home import state_home, without_password
from tasks.room import available_memory_bytes, num_cores

PACKAGES = ("torch", "transformers", "prefect", "mlflow-skinny", "datasets", "pyarrow", "pydantic")
GIB = 2**30
LEAST_MEMORY = 2 * GIB
LEAST_DISK = 5 * GIB


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: `ok`; `note`, where something optional is missing; `bad`, where runs will fail.
        found: What was found.
        mend: What to do about it; empty where there is nothing to do.
    """

    name: str
    state: Literal["ok", "note", "bad"]
    found: str
    mend: str = ""


def examine() -> list[Check]:
    """Look at everything, in some seconds; a server that is away takes up to 20 more."""
    checks: list[Callable[[], Check]] = [
        _python, _packages, _state, _disk, _prefect, _mlflow, _cores, _memory, _bf16, _gpu,
    ]  # fmt: skip
    return [*(check() for check in checks), _program("git"), _program("dvc")]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{version} at {sys.executable}")


def _packages() -> Check:
    versions, missing = [], []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "bad", f"no {', '.join(missing)}", "install requirements.lock")
    return Check("packages", "ok", ", ".join(versions))


def _state() -> Check:
    home = state_home()
    if not os.access(home, os.W_OK):
        mend = "set RETUNE_HOME to a folder that can be written to"
        return Check("state", "bad", f"{home} can't be written to", mend)
    num_workspaces = len(list((home / "workspaces").glob("*")))
    return Check("state", "ok", f"{home}, workspaces: {num_workspaces}")


def _disk() -> Check:
    usage = shutil.disk_usage(state_home())
    found = f"{usage.free / GIB:.1f} GiB free of {usage.total / GIB:.1f} GiB"
    if usage.free < LEAST_DISK:
        return Check("disk", "note", found, "make room, or set RETUNE_HOME to another disk")
    return Check("disk", "ok", found)


def _prefect() -> Check:
    home = Path(os.environ["PREFECT_HOME"])
    if not is_configured():
        return Check("prefect", "ok", f"a temporary server for each run; history in {home}")
    url = os.environ.get("PREFECT_API_URL")
    found = without_password(url) if url else f"the profile in {home}"
    return _tried("prefect", found, check_server)


def _mlflow() -> Check:
    from tasks.tracking.connection import check_store, tracking_uri

    return _tried("mlflow", without_password(tracking_uri()), check_store)


def _tried(name: str, found: str, check: Callable[[], None]) -> Check:
    """Whether a server or database can be used."""
    try:
        check()
    except BadInput as error:
        [issue] = error.issues
        return Check(name, "bad", f"{found}: {without_password(issue.found)}", issue.mend)
    return Check(name, "ok", found)


def _cores() -> Check:
    return Check("cores", "ok", str(num_cores()))


def _memory() -> Check:
    total, available = psutil.virtual_memory().total, available_memory_bytes()
    found = f"{total / GIB:.1f} GiB, {available / GIB:.1f} GiB available"
    if available < LEAST_MEMORY:
        return Check("memory", "note", found, "train small models only, or on a larger machine")
    return Check("memory", "ok", found)


def _bf16() -> Check:
    import torch

    from tasks.training.precision import bf16_pays, bf16_speedup, has_bf16

    if torch.cuda.is_available():
        has = torch.cuda.is_bf16_supported()
        return Check("bf16", "ok" if has else "note", "GPU" if has else "not on this GPU")
    if not has_bf16():
        return Check("bf16", "note", "not in hardware; training uses fp32")
    speedup, used = bf16_speedup(), "bf16" if bf16_pays() else "fp32"
    return Check("bf16", "ok", f"CPU, {speedup:.1f} times as fast as fp32; training uses {used}")


def _gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("gpu", "note", "none; training runs on the CPU")
    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return Check("gpu", "ok", ", ".join(f"{c.name} {c.total_memory / GIB:.0f} GiB" for c in cards))


def _program(name: str) -> Check:
    beside = Path(sys.executable).parent / name  # works without an activated environment
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        return Check(name, "note", "not found", f"install {name} to version data and models")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return Check(name, "ok", version.stdout.strip().splitlines()[0] if version.stdout else found)
