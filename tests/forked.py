"""Children of `tasks.launch`, forked with torch in memory: importing it takes seconds each time."""

import multiprocessing
import os
import subprocess
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, BinaryIO

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["tasks.training.main", "tasks.scoring.main", "tasks.training.interpolate"]
)


class Forked:
    """In place of a `subprocess.Popen` of `torchrun --nproc-per-node=1 -m MODULE JOB`."""

    def __init__(
        self, command: Sequence[str], *, stdout: BinaryIO, env: Mapping[str, str], **_: Any
    ) -> None:
        module, job = command[-2:]
        given = (module, job, stdout.name, dict(env))
        self._process = SERVER.Process(target=_work, args=given)
        self._process.start()
        self.terminate = self._process.terminate

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> None:
        self._process.join()


SUBPROCESS = SimpleNamespace(**vars(subprocess) | {"Popen": Forked})


def _work(module: str, job: str, log: str, environment: Mapping[str, str]) -> None:
    import torch

    os.environ.update(environment)
    torch.set_num_threads(1)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    spec = find_spec(module)
    is_package = spec is not None and spec.submodule_search_locations
    raise SystemExit(import_module(f"{module}.main" if is_package else module).main(job))
