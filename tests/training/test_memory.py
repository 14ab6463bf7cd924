"""Memory that runs out, as the kernel sees to it: training goes on with smaller batches."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tasks.config import BaseModelSection, Mixture, Train
from tasks.config.train import Launch
from tasks.errors import BadInput, ChildFailed, OutOfMemory
from tasks.launch import launch
from tasks.room import kernel_kills
from tasks.training import launching
from tasks.training.launching import Training, _that_fits, _within_memory
from tasks.training.parts import MOST_PARTS, note_parts, noted_parts

REPOSITORY = Path(__file__).parents[2]
LIMIT_BYTES = 200 * 2**20

EATS = """
import os, sys
from pathlib import Path
job = Path(sys.argv[1])
parts = int(job.with_name("parts").read_text()) if job.with_name("parts").exists() else 1
Path("GROUP", "cgroup.procs").write_text(str(os.getpid()))
bytearray(b"x") * (SIZE // parts)
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group whose processes may take little memory."""
    root = Path("/sys/fs/cgroup")
    version_1 = root / "memory"
    folder = (version_1 if version_1.is_dir() else root) / f"retune-test-{os.getpid()}"
    try:
        folder.mkdir()
        limit = "memory.limit_in_bytes" if version_1.is_dir() else "memory.max"
        (folder / limit).write_text(str(LIMIT_BYTES), encoding="utf-8")
    except OSError as error:
        pytest.skip(f"no control group: {error}")
    yield folder
    folder.rmdir()


def attempt_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: Path, size: int) -> Any:
    text = EATS.replace("GROUP", str(group)).replace("SIZE", str(size))
    (tmp_path / "eats.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{REPOSITORY}")
    job, events = tmp_path / "job.json", tmp_path / "events"
    return partial(launch, "eats", job, events, lambda event: None)


def test_what_the_kernel_ends_goes_on_in_smaller_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = attempt_at(tmp_path, monkeypatch, group, 3 * LIMIT_BYTES)
    before = kernel_kills()
    with pytest.raises(OutOfMemory, match="eats was ended by SIGKILL, as memory ran out"):
        attempt()
    assert kernel_kills() == before + 1
    _within_memory(attempt, tmp_path)
    assert noted_parts(tmp_path) == 4
    assert [record.args for record in caplog.records] == [(2,), (4,)]


def test_it_ends_where_smaller_parts_do_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: Path
) -> None:
    note_parts(tmp_path, MOST_PARTS)
    attempt = attempt_at(tmp_path, monkeypatch, group, 2 * MOST_PARTS * LIMIT_BYTES)
    with pytest.raises(OutOfMemory):
        _within_memory(attempt, tmp_path)
    assert noted_parts(tmp_path) == 1, "the next run tries again with whole ones"


def test_a_process_that_somebody_kills_is_not_short_of_memory(tmp_path: Path) -> None:
    def killed() -> None:
        raise ChildFailed("was ended by SIGKILL")

    with pytest.raises(ChildFailed):
        _within_memory(killed, tmp_path)
    assert noted_parts(tmp_path) == 1


def test_with_less_memory_than_before_it_goes_on_in_fewer_processes(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 2

    def check(training: Training, split: Path) -> None:
        if training.train.launch.num_per_node > most:
            raise BadInput("train", "memory", "none")

    def with_launch(**asked: Any) -> Training:
        return Training(
            base_model=BaseModelSection(path=str(tiny_models["t5"])),
            train=Train(launch=Launch(**asked)), mixture=Mixture(), rehearsal=None,
        )  # fmt: skip

    monkeypatch.setattr(launching, "_check_memory", check)
    monkeypatch.setattr(launching, "launch_of", lambda train, base: Launch(processes_per_node=2))
    job = tmp_path / "job.json"
    job.write_text('{"train": {"launch": {"processes_per_node": 4}}}', encoding="utf-8")
    assert _that_fits(with_launch(), job, tmp_path).train.launch.num_per_node == 2
    most = 1
    with pytest.raises(BadInput):
        _that_fits(with_launch(), job, tmp_path)
    most = 4
    assert _that_fits(with_launch(), job, tmp_path).train.launch.num_per_node == 4
