"""Which GPUs there are, and that trainings at once get different ones."""

import importlib.metadata
import threading
from pathlib import Path

import pytest

from tasks.config.train import Launch
from tasks.errors import Stopped
from tasks.gpus import VARIABLE, Rooms, environment_of_room, name_of_room, visible_gpus


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
    assert Rooms.of(launch).num == num


@pytest.mark.usefixtures("four_gpus")
def test_threads_at_once_have_different_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms, met, seen = Rooms.of(Launch(processes_per_node=2)), threading.Barrier(2), []

    def work() -> None:
        with rooms.one("lora"):
            met.wait(5)
            seen.append((environment_of_room()[VARIABLE], visible_gpus(), name_of_room()))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [("0,1", ("0", "1"), "lora"), ("2,3", ("2", "3"), "lora")]
    assert environment_of_room() == {} and len(visible_gpus()) == 4


def test_a_failure_closes_the_rooms() -> None:
    with pytest.raises(ValueError, match="bad"), Rooms([()]) as rooms:
        raise ValueError("bad")
    with pytest.raises(Stopped), rooms.one("lora"):
        pass
