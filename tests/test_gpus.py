"""Which GPUs there are, and that trainings at once get different ones."""

import importlib.metadata
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.config.train import Launch
from tasks.errors import Stopped
from tasks.gpus import VARIABLE, environment_of_room, name_of_room, rooms_for, visible_gpus


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [Path(f"/dev/nvidia{number}") for number in range(4)]
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "2.13.0")
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter(devices))
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("named", "found"),
    [
        (None, ("0", "1", "2", "3")),
        ("2,3", ("2", "3")),
        ("GPU-5f1c, GPU-8a20", ("GPU-5f1c", "GPU-8a20")),
        ("", ()),
        ("-1", ()),
        ("1,-1,2", ("1",)),
    ],
)
def test_the_environment_says_which_gpus_are_visible(
    monkeypatch: pytest.MonkeyPatch, named: str | None, found: tuple[str, ...]
) -> None:
    if named is not None:
        monkeypatch.setenv(VARIABLE, named)
    assert visible_gpus() == found


def test_torch_for_cpus_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "2.13.0+cpu")
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter([Path("/dev/nvidia0")]))
    assert visible_gpus() == ()


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("launch", "num"),
    [
        (Launch(), 4),
        (Launch(processes_per_node=2), 2),
        (Launch(processes_per_node=3), 1),
        (Launch(processes_per_node=8), 1),
        (Launch(nodes=2, rendezvous="node0:29500"), 1),
    ],
)
def test_there_is_room_for_so_many_trainings(launch: Launch, num: int) -> None:
    with rooms_for(launch) as rooms:
        assert rooms.num == num


@pytest.mark.usefixtures("four_gpus")
def test_threads_at_once_have_different_gpus() -> None:
    met = threading.Barrier(2)

    def work(name: str) -> tuple[str, tuple[str, ...], str]:
        with rooms.one(name):
            met.wait(5)
            return environment_of_room()[VARIABLE], visible_gpus(), name_of_room()

    with rooms_for(Launch(processes_per_node=2)) as rooms, ThreadPoolExecutor(2) as threads:
        seen = list(threads.map(work, ["lora", "replay"]))
    assert sorted(shares for shares, _, _ in seen) == ["0,1", "2,3"]
    assert all(",".join(gpus) == shares for shares, gpus, _ in seen)
    assert [name for _, _, name in seen] == ["lora", "replay"]
    assert environment_of_room() == {} and len(visible_gpus()) == 4


def test_a_failure_closes_the_rooms() -> None:
    with pytest.raises(ValueError, match="bad"), rooms_for(Launch()) as rooms:
        raise ValueError("bad")
    with pytest.raises(Stopped), rooms.one("lora"):
        pass
