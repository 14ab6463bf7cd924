"""Memory and cores that may still be taken: of the machine, of control groups, under a limit."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tasks.room import available_memory_bytes, num_cores

ROOT = Path(__file__).parents[1]
MIB = 2**20


def write_group(folder: Path, names: tuple[str, str], most: str, used: int, cache: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{most}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{cache} {10 * MIB}\n")


def test_without_limits_it_is_what_the_machine_has(tmp_path: Path) -> None:
    found = available_memory_bytes(tmp_path)
    assert abs(found - psutil.virtual_memory().available) < 0.1 * psutil.virtual_memory().total


def test_the_narrowest_group_counts(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod/own\n")
    groups, names = tmp_path / "sys/fs/cgroup", ("memory.max", "memory.current")
    write_group(groups / "pod/own", names, "max", 30 * MIB, "inactive_file")
    assert available_memory_bytes(tmp_path) > 100 * MIB
    write_group(groups / "pod", names, str(100 * MIB), 40 * MIB, "inactive_file")
    assert available_memory_bytes(tmp_path) == 70 * MIB
    write_group(groups / "pod/own", names, str(50 * MIB), 30 * MIB, "inactive_file")
    assert available_memory_bytes(tmp_path) == 30 * MIB


def test_groups_of_version_1_count(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("5:cpu:/\n4:memory:/job\n0::/\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group = tmp_path / "sys/fs/cgroup/memory"
    # In a container the path is the host's, and the files lie at the top.
    write_group(group, names, str(90 * MIB), 40 * MIB, "total_inactive_file")
    assert available_memory_bytes(tmp_path) == 60 * MIB


def test_a_limit_of_the_process_counts() -> None:
    code = "from tasks.room import available_memory_bytes; print(available_memory_bytes())"
    command = f"ulimit -v {2**20} && {sys.executable} -c '{code}'"  # in KiB
    printed = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert 0 < int(printed.stdout) < 2**30


@pytest.mark.parametrize(("asked", "found"), [("1", 1), ("1,4", 1), ("999", 0), ("", 0), ("x", 0)])
def test_cores_are_those_allowed_or_fewer_if_asked(
    monkeypatch: pytest.MonkeyPatch, asked: str, found: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert num_cores() == (found or len(os.sched_getaffinity(0)))
