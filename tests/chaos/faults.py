"""The faults: each disturbs a run at a drawn moment, and has it end.

FAULTS["flow killed"].disturb(world)    # the run was killed, and the same command came to its end
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from tests.chaos.world import MODEL, World
from tests.integration.conftest import REPOSITORY, Ended, environment
from tests.servers import PROGRAMS, PostgreSQL, Service, mlflow_server, prefect_server
from tests.toy import STAGES

COMPUTING = STAGES[3:7]
PATIENCE_S = 600.0
DISK = "size=64m"
MLFLOW_AWAY_S = (1.0, 30.0)
DATABASE_AWAY_S = (0.0, 10.0)
LONG_S = 300.0
CLOCK = Path(__file__).parent / "clock.c"
JUMP_S = 86400


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        disturb: Runs the recipe in a world, with the fault in it, to its end.
        starts: Stages at which it may strike.
        possible: Whether this machine lets it be tried.
        is_long: Whether it takes minutes by itself.
    """

    disturb: Callable[[World], None]
    starts: tuple[str, ...] = STAGES
    possible: Callable[[], bool] = lambda: True
    is_long: bool = False


def child_killed(world: World) -> None:
    """Processes of training or scoring are killed, all or some; the run starts them again."""
    module = "tasks.training" if world.start == "train" else "tasks.scoring"
    world.fill()
    command = world.command()
    command.wait_for(lambda: world.children(module))
    world.after_s = world.draw.uniform(0, world.reference.seconds_of(world.start))
    time.sleep(world.after_s)
    world.fault_at = time.monotonic()
    found = world.children(module)
    for process in found[: world.draw.randint(1, max(1, len(found)))]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    succeed(command.end())


def flow_killed(world: World) -> None:
    """kill -9 of the command; the same command again."""
    world.fill()
    command = world.command()
    world.reach(command)
    command.kill()
    world.wait_until_gone()
    succeed(world.run())


def worker_killed(world: World) -> None:
    """The worker and all that it started are killed; another one takes the run up."""
    world.fill()
    prefect = prefect_of_its_own(world)
    world.variables |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{world.home / 'mlflow.db'}",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    assert world.called("deploy").returncode == 0
    api = f"{prefect.url}/api"
    name = "deployments/name/finetune/finetune"
    deployment = requests.get(f"{api}/{name}", timeout=60).json()["id"]
    start_worker(world)
    told = {"parameters": {"recipe": str(world.reference.recipe)}}
    asked = requests.post(f"{api}/deployments/{deployment}/create_flow_run", json=told, timeout=60)
    run = f"{api}/flow_runs/{asked.json()['id']}"
    log = world.folder / "worker.log"
    wait_for(lambda: f"{world.start}: started" in log.read_text())
    world.after_s = world.draw.uniform(0, world.reference.seconds_of(world.start))
    time.sleep(world.after_s)
    world.fault_at = time.monotonic()
    for process in world.children(""):
        process.kill()
    start_worker(world)
    again = {"state": {"type": "SCHEDULED"}, "force": True}
    requests.post(f"{run}/set_state", json=again, timeout=60).raise_for_status()
    ends = ("COMPLETED", "FAILED", "CRASHED")
    wait_for(lambda: requests.get(run, timeout=60).json()["state_type"] in ends)
    assert requests.get(run, timeout=60).json()["state_type"] == "COMPLETED", log.read_text()


def prefect_of_its_own(world: World) -> Service:
    """A Prefect server whose database has its tables already."""
    shutil.copytree(world.reference.home / "prefect", world.folder / "prefect")
    return world.serve(prefect_server(world.folder), "PREFECT_API_URL", "/api")


def start_worker(world: World) -> None:
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "retune"]
    with (world.folder / "worker.log").open("ab") as log:
        subprocess.Popen(
            [*command, "--type", "process", "--install-policy", "never"], stdout=log, stderr=log,
            cwd=REPOSITORY, env={**environment(world.home), **world.variables},
        )  # fmt: skip


def prefect_restarted(world: World) -> None:
    """Prefect's server is killed and started again; where that ends the run, the same command."""
    world.fill()
    prefect = prefect_of_its_own(world)
    command = world.command()
    world.reach(command)
    prefect.kill()
    time.sleep(world.draw.uniform(0, 3))
    prefect.start()
    prefect.wait()
    if command.end().returncode != 0:
        succeed(world.run())


def mlflow_down(world: World) -> None:
    """MLflow's server is away for some seconds; the run waits for it."""
    mlflow_away(world, world.draw.uniform(*MLFLOW_AWAY_S))


def mlflow_down_for_long(world: World) -> None:
    """MLflow's server is away for five minutes; the run waits for it."""
    mlflow_away(world, LONG_S)


def mlflow_away(world: World, seconds: float) -> None:
    world.fill()
    (world.home / "mlflow.db").rename(world.folder / "mlflow.db")
    database = f"sqlite:///{world.folder / 'mlflow.db'}"
    artifacts = str(world.folder / "artifacts")
    mlflow = world.serve(mlflow_server(world.folder, database, artifacts), "MLFLOW_TRACKING_URI")
    command = world.command()
    world.reach(command)
    mlflow.kill()
    time.sleep(seconds)
    mlflow.start()
    mlflow.wait()
    succeed(command.end())


def postgresql_restarted(world: World) -> None:
    """The database of both servers crashes and is back soon; if that ends the run, once more."""
    world.fill()
    database = servers_on_postgresql(world)
    command = world.command()
    world.reach(command)
    database.stop()
    time.sleep(world.draw.uniform(*DATABASE_AWAY_S))
    database.start()
    if command.end().returncode != 0:
        succeed(world.run())


def servers_on_postgresql(world: World) -> PostgreSQL:
    """Prefect and MLflow on a PostgreSQL of their own."""
    database = PostgreSQL()
    world.on_close.append(database.remove)
    database.start()
    world.on_close.append(database.stop)
    for name in ("prefect", "mlflow"):
        database.sql("postgres", f"create database {name}")
    url = database.url("asyncpg", "prefect")
    prefect = prefect_server(world.folder, PREFECT_SERVER_DATABASE_CONNECTION_URL=url)
    url, artifacts = database.url("psycopg2", "mlflow"), str(world.folder / "artifacts")
    world.serve(prefect, "PREFECT_API_URL", "/api")
    world.serve(mlflow_server(world.folder, url, artifacts), "MLFLOW_TRACKING_URI")
    return database


def clock_jumps(world: World) -> None:
    """The wall clock jumps by up to a day, forwards or back, for all processes of the run."""
    world.fill()
    library, jump = world.folder / "clock.so", world.folder / "jump"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(CLOCK)], check=True)
    world.variables |= {"LD_PRELOAD": str(library), "RETUNE_CLOCK_JUMP": str(jump)}
    command = world.command()
    world.reach(command)
    jump.write_text(str(world.draw.randint(-JUMP_S, JUMP_S)))
    succeed(command.end())


def disk_full(world: World) -> None:
    """The disk of the state folder is full; the command says so, and goes on when there is room."""
    mounted = ["mount", "-t", "tmpfs", "-o", DISK, "retune-chaos", str(world.home)]
    subprocess.run(mounted, check=True)
    world.on_close.append(lambda: subprocess.run(["umount", "--lazy", str(world.home)], check=True))
    world.fill()
    command = world.command()
    world.reach(command)
    fill_disk(world.home / "filler")
    ended = command.end()
    assert "Traceback" not in ended.log, ended.log
    (world.home / "filler").unlink()
    if ended.returncode != 0:
        succeed(world.run())


def fill_disk(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def two_at_once(world: World) -> None:
    """Two retrainings of one recipe: one runs, the other is refused or finds nothing new."""
    world.fill()
    world.fault_at = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(world.called, "retrain", str(world.reference.recipe), "--json")
        time.sleep(world.draw.uniform(0, 3))
        ended = world.command("retrain").end()
    codes = {ended.returncode: ended.log, other.result().returncode: other.result().stderr}
    assert set(codes) in ({0}, {0, 2}), codes
    assert "held by process" in codes.get(2, "held by process"), codes


def artifact_truncated(world: World) -> None:
    """A file of a stage that was made before is cut off; the stage is made again."""
    world.fill()
    made = STAGES[: STAGES.index(world.start)]
    files = sorted(
        path
        for stage in made
        for path in (world.workspace / stage).rglob("*")
        if path.is_file() and path.stat().st_size
    )
    file = world.draw.choice(files)
    os.truncate(file, world.draw.randrange(file.stat().st_size))
    world.fault_at = time.monotonic()
    succeed(world.run())


def alias_moved(world: World) -> None:
    """Somebody makes another version the champion while the run is under way."""
    world.fill()
    client, foreign = world.client, world.folder / "foreign"
    foreign.mkdir()
    (foreign / "MLmodel").write_text("flavors: {}\n")
    client.create_registered_model(MODEL)
    other = client.create_model_version(MODEL, foreign.as_uri())
    command = world.command()
    world.reach(command)
    client.set_registered_model_alias(MODEL, "champion", other.version)
    world.moved.add("champion")  # whichever of the two is champion now, one is
    succeed(command.end())
    assert client.get_registered_model(MODEL).aliases["champion"]


def succeed(ended: Ended) -> None:
    assert ended.returncode == 0, ended.log


def wait_for(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def may_mount() -> bool:
    return os.geteuid() == 0 and shutil.which("mount") is not None


def has_compiler() -> bool:
    return shutil.which("cc") is not None


def has_postgresql() -> bool:
    return (PROGRAMS / "initdb").exists()


FAULTS = {
    "child killed": Fault(child_killed, COMPUTING),
    "flow killed": Fault(flow_killed),
    "worker killed": Fault(worker_killed, STAGES[3:]),
    "prefect restarted": Fault(prefect_restarted),
    "mlflow down": Fault(mlflow_down, STAGES[3:]),
    "mlflow down for 5 min": Fault(mlflow_down_for_long, STAGES[3:], is_long=True),
    "postgresql restarted": Fault(postgresql_restarted, STAGES[3:], possible=has_postgresql),
    "clock jumps": Fault(clock_jumps, possible=has_compiler),
    "disk full": Fault(disk_full, possible=may_mount),
    "two at once": Fault(two_at_once, STAGES[3:]),
    "artifact truncated": Fault(artifact_truncated, STAGES[1:]),
    "alias moved": Fault(alias_moved, STAGES[5:]),
}
