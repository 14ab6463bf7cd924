"""Whatever a user gets wrong: exit code 2, a plain message, nothing lost or half-written."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks import forgetting, holdout, ingest, split, template, train, validate
from tasks.errors import BadWorkspace
from tasks.launch import launch
from tasks.stage import Stage
from tasks.stage_main import main
from tests.bad_input_cases import (
    CASES,
    COMMANDS,
    FOLDER,
    GONE,
    IN_TRAINING,
    USER_FILES,
    Case,
)  # fmt: skip

REPOSITORY = Path(__file__).parents[1]
MODULES = (ingest, template, split, train, validate, holdout, forgetting)
STAGES: dict[str, Stage[Any]] = {module.STAGE.name: module.STAGE for module in MODULES}

PASSING = (".lock", ".scratch/", ".tokens/", ".journal", "run.json", "ingest-rejects.jsonl")
PASSING += ("layout",)
"""What comes and goes in a workspace: its lock, work to resume, token ids, its MLflow run, and
the rows that were rejected; and the mark of the state folder."""

RANDOM = "text,said\n" + "".join(
    f"{hashlib.sha256(bytes([number % 256, number // 256])).hexdigest()},x\n"
    for number in range(4000)
)
"""Rows that no compression makes small."""


def write(folder: Path, files: Mapping[str, Any]) -> None:
    for name, content in files.items():
        path = folder / name
        if callable(content):
            content = content(path.read_text(encoding="utf-8"))
        path.unlink(missing_ok=True)
        if content is FOLDER:
            path.mkdir()
        elif content is not GONE:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


def contents(folder: Path) -> dict[str, str]:
    """Path -> digest of every file that a failure must leave as it is."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if not any(part in name for part in PASSING)
    }


def run(stage: str, settings: Sequence[str] = ()) -> int:
    overrides = [part for setting in settings for part in ("--set", setting)]
    return main(STAGES[stage], ["--recipe", "recipe.yaml", *overrides])


def check_told(code: int | None, out: str, err: str, told: str) -> None:
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    assert re.search(r"^  expected  .+\n  found     .+", err, re.MULTILINE), err
    assert [part for part in told.split(" | ") if part not in err] == [], err


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path]) -> Path:
    """A user's folder with good files, and a state folder in which its stages up to train ran."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "user").mkdir()
    shutil.copytree(tiny_models["t5"], folder / "user" / "model")
    write(folder / "user", USER_FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "user")
        patch.setenv("RETUNE_HOME", str(folder / "state"))
        patch.setenv("PREFECT_HOME", str(folder / "state" / "prefect"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'state' / 'mlflow.db'}")
        assert [run(stage) for stage in ("ingest", "template", "split", "train")] == [0] * 4
    return folder


@pytest.fixture
def user(
    good: Path, tmp_path: Path, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A copy of both, to make a mistake in; the current folder is the user's."""
    shutil.copytree(good / "state" / "workspaces", state_home / "workspaces")
    shutil.copytree(good / "user", tmp_path / "user")
    monkeypatch.chdir(tmp_path / "user")
    yield tmp_path / "user"
    assert list(state_home.rglob("*.partial")) == []


@pytest.mark.usefixtures("forked_children")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_told(
    case: Case, user: Path, state_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(user, case.files)
    assert [run(stage, case.settings) for stage in case.after] == [0] * len(case.after)
    given, made = contents(user), contents(state_home / "workspaces")
    capsys.readouterr()
    check_told(run(case.stage, case.settings), *capsys.readouterr(), case.told)
    assert contents(state_home / "workspaces") == made
    if case not in IN_TRAINING:  # once more, without anything made before: 10 s there
        shutil.rmtree(state_home / "workspaces" / "toy" / case.stage, ignore_errors=True)
        made = contents(state_home / "workspaces")
        check_told(run(case.stage, case.settings), *capsys.readouterr(), case.told)
        assert contents(state_home / "workspaces") == made
    assert contents(user) == given


def environment(state_home: Path) -> dict[str, str]:
    """As in a user's shell: nothing set but the state folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    return kept | {"RETUNE_HOME": str(state_home), "PYTHONPATH": str(REPOSITORY)}


def python(state_home: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment(state_home), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


RETUNE = "from flows.cli import main; main()"
INGEST = """\
from tasks.ingest import STAGE
from tasks.stage_main import main
raise SystemExit(main(STAGE, ["--recipe", "recipe.yaml"]))
"""
HOLD = """\
from tasks.home import workspace_of
from tasks.lock import workspace_lock
with workspace_lock(workspace_of("toy")):
    print("held", flush=True)
    input()
"""


@pytest.mark.parametrize("case", COMMANDS, ids=lambda case: case.name)
def test_the_command_tells_a_mistake(case: Case, user: Path, state_home: Path) -> None:
    write(user, case.files)
    given, made = contents(user), contents(state_home / "workspaces")
    overrides = [part for setting in case.settings for part in ("--set", setting)]
    child = python(state_home, RETUNE, case.stage, "recipe.yaml", *overrides)
    out, err = child.communicate()
    check_told(child.returncode, out, err, case.told)
    assert contents(user) == given
    assert contents(state_home / "workspaces") == made


def test_what_needs_no_data_is_told_before_a_server_starts(user: Path, state_home: Path) -> None:
    child = python(state_home, RETUNE, "run", "recipe.yaml", "--set", "train.method=qlora")
    _, err = child.communicate()
    assert child.returncode == 2 and err.startswith("train.method: qlora\n")


def test_a_workspace_that_another_process_holds(user: Path, state_home: Path) -> None:
    made = contents(state_home)
    with python(state_home, HOLD) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        child = python(state_home, RETUNE, "run", "recipe.yaml")
        told = f"workspaces/toy | no other run holds | held by process {holder.pid} | wait for it"
        check_told(child.wait(), *child.communicate(), told)
        holder.communicate("\n")
    assert holder.returncode == 0
    assert contents(state_home) == made


def test_two_runs_at_once(user: Path, state_home: Path) -> None:
    rows = "".join(f"red {number},blue {number}\n" for number in range(200_000))
    write(user, {"colours.csv": f"text,said\n{rows}"})
    first = python(state_home, INGEST)
    while not (state_home / "workspaces" / "toy" / ".ingest.partial").exists():
        assert first.poll() is None
        time.sleep(0.01)
    second = python(state_home, INGEST)
    out, err = second.communicate()
    check_told(second.returncode, out, err, f"toy | held by process {first.pid} on")
    assert first.communicate()[0].startswith(str(state_home / "workspaces" / "toy" / "ingest"))
    assert first.returncode == 0


def test_a_home_below_a_file(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = contents(user)
    monkeypatch.setenv("RETUNE_HOME", str(user / "recipe.yaml" / "state"))
    told = "recipe.yaml/state | a folder that can be written to | Not a directory | RETUNE_HOME"
    check_told(run("ingest"), *capsys.readouterr(), told)
    assert contents(user) == given


def test_a_limit_on_the_size_of_files(user: Path, state_home: Path) -> None:
    write(user, {"colours.csv": RANDOM})
    made = contents(state_home)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))\n"
    child = python(state_home, limit + INGEST)
    out, err = child.communicate()
    check_told(child.returncode, out, err, "workspaces/toy | File too large | RETUNE_HOME")
    assert contents(state_home) == made


def mount(folder: Path, *options: str) -> None:
    command = ["mount", *options, "retune-test", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"may not mount a file system: {done.stderr.strip()}")


@pytest.fixture
def disk(user: Path, state_home: Path) -> Iterator[Path]:
    """The state folder on a file system of its own."""
    made = state_home.rename(state_home.with_name("made"))
    state_home.mkdir()
    mount(state_home, "-t", "tmpfs", "-o", "size=16m")
    try:
        shutil.copytree(made, state_home, dirs_exist_ok=True)
        yield state_home
    finally:
        subprocess.run(["umount", "--lazy", str(state_home)], check=True)


@pytest.mark.parametrize("free_kib", [0, 4, 16, 64, 128])
@pytest.mark.parametrize("stage", ["ingest", "split"])
def test_a_full_disk(
    stage: str, free_kib: int, user: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(user, {"colours.csv": RANDOM})
    if stage == "split":
        assert [run(earlier) for earlier in ("ingest", "template")] == [0, 0]
    given, made = contents(user), contents(disk)
    fill(disk / "filler", free_kib)
    capsys.readouterr()
    told = "workspaces/toy | No space left on device | make room or set RETUNE_HOME"
    check_told(run(stage), *capsys.readouterr(), told)
    assert list(disk.rglob("*.partial")) == []
    (disk / "filler").unlink()
    assert (contents(user), contents(disk)) == (given, made)
    assert run(stage) == 0  # "the same command then goes on"


FILLS = """\
import sys
from pathlib import Path
from tasks.launch import work

def fill():
    with Path(sys.argv[1]).with_name("filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))

sys.exit(work(fill, Path(sys.argv[1]).with_name("events")))
"""


def test_a_child_that_has_no_room_left_to_say_so(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fills.py").write_text(FILLS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{REPOSITORY}")
    with pytest.raises(BadWorkspace, match="No space left on device"):
        launch("fills", disk / "job.json", disk / "events", lambda event: None)


@pytest.mark.usefixtures("forked_children")
@pytest.mark.parametrize(("free_kib", "mlflow"), [(64, "elsewhere"), (256, "elsewhere"), (64, "")])
def test_a_disk_that_fills_up_in_training(
    free_kib: int,
    mlflow: str,
    user: Path,
    disk: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(empty_database, disk / "mlflow.db")
    if mlflow:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{user / mlflow}.db")
    shutil.rmtree(disk / "workspaces" / "toy" / "train")
    fill(disk / "filler", free_kib)
    capsys.readouterr()
    check_told(
        run("train"), *capsys.readouterr(), "can be written to | make room or set RETUNE_HOME"
    )
    (disk / "filler").unlink()
    assert run("train") == 0


def fill(path: Path, free_kib: int) -> None:
    """Fill a disk but for so many KiB."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    os.truncate(path, path.stat().st_size - free_kib * 1024)


@pytest.mark.parametrize("home", [".", "new"])
def test_a_read_only_disk(
    home: str,
    user: Path,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("RETUNE_HOME", str(disk / home))
    made = contents(disk)
    mount(disk, "-o", "remount,ro")
    told = f"{disk / home} | can be written to | Read-only file system | set RETUNE_HOME"
    check_told(run("ingest"), *capsys.readouterr(), told)
    assert contents(disk) == made
