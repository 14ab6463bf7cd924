"""What a plan takes a run to hold beside training, compared with a run."""

from pathlib import Path

import psutil
import pytest

from flows.temporary_server import SERVER_BYTES
from tasks.plan import RUN_BYTES
from tests.integration.conftest import Command, Company

pytestmark = pytest.mark.slow


def held_bytes(command: Command) -> int:
    """Memory of the command and of the server that it has started."""
    own = psutil.Process(command.process.pid)
    servers = [child for child in own.children() if "uvicorn" in child.cmdline()]
    return sum(process.memory_full_info().pss for process in (own, *servers))


def test_a_plan_knows_what_a_run_holds(company: Company, tmp_path: Path) -> None:
    held = {}
    for name, moment in (("plan", "plan: forecasting"), ("run", "train: started")):
        command = Command(tmp_path / name, name, str(company.recipe))
        command.wait_for(lambda moment=moment, command=command: moment in command.log)
        held[name] = held_bytes(command)
        command.kill()
    assert held["run"] - held["plan"] == pytest.approx(RUN_BYTES + SERVER_BYTES, rel=0.3)
