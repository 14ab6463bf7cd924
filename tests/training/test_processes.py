"""Two processes learn what one learns, resume, and only the first one writes."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.errors import BadInput
from tasks.training.processes import Processes
from tests.training.attempts import attempt, together
from tests.training.trainers import without_dropout


def test_shares_are_equal_and_cover_a_step() -> None:
    step = [np.arange(0, 5), np.arange(5, 8), np.arange(8, 20)]
    for size in (1, 2, 3, 4, 7, 30):
        shares = [Processes(rank, size).share(step) for rank in range(size)]
        assert len({len(share) for share in shares}) == 1
        counted = [row for share in shares for rows, counts in share if counts for row in rows]
        assert sorted(counted) == list(range(20))


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    for name, number in {"WORLD_SIZE": 16, "LOCAL_WORLD_SIZE": 8, "LOCAL_RANK": 2}.items():
        monkeypatch.setenv(name, str(number))
    with pytest.raises(BadInput, match=r"processes_per_node\n +expected +at most 4.*\n.* 8"):
        Processes.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def losses(job: Path) -> list[float]:
    lines = (job.parent / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    keys = {"step": "loss", "epoch": "validation_loss"}
    return [event[keys[event["event"]]] for event in events if event["event"] in keys]


@pytest.mark.parametrize(("model", "how"), [("t5", "ddp"), ("llama", "ddp"), ("llama", "fsdp")])
def test_two_processes_have_the_losses_of_one(
    write_job: Callable[..., Path], tmp_path: Path, model: str, how: str
) -> None:
    train: dict[str, Any] = {"epochs": 2, "checkpoint_minutes": 1e-9}
    one = write_job(tmp_path / "one", model, 90, **train)
    two = write_job(tmp_path / "two", model, 90, launch={"accelerate": how}, **train)
    for job in (one, two):
        content = json.loads(job.read_text(encoding="utf-8"))
        content["base"] = str(without_dropout(Path(content["base"]), job.parent / "base"))
        job.write_text(json.dumps(content), encoding="utf-8")
    assert attempt(one)
    assert together(two, 2, free_port()), (two.parent / "log").read_text(encoding="utf-8")[-3000:]
    assert losses(two) == pytest.approx(losses(one), abs=1e-3)
    events = (two.parent / "events.jsonl").read_text(encoding="utf-8")
    assert events.count('"done"') == 1 and '"processes": 2' in events

    newest = max((two.parent / "scratch").glob("checkpoint-*.pt"))
    newest.write_bytes(b"damaged")
    before = len(losses(two))
    for file in (two.parent / "output" / "model").iterdir():
        file.unlink()
    (two.parent / "output" / "model").rmdir()
    assert together(two, 2, free_port()), (two.parent / "log").read_text(encoding="utf-8")[-3000:]
    again = losses(two)[before:]
    assert 0 < len(again) < before
    assert again == pytest.approx(losses(one)[-len(again) :], abs=1e-3)
