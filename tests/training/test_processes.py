"""Two processes learn what one learns, resume, and only the first one writes."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.tensor import DTensor
from transformers import GPT2Config, GPT2LMHeadModel

from tasks.config import BaseModelSection, Mixture, Train
from tasks.config.train import Launch
from tasks.data.base_model import tensors_of
from tasks.errors import BadInput
from tasks.processes import Processes
from tasks.training import cost
from tasks.training.cost import launch_of
from tasks.training.launching import Training, on_processes
from tasks.training.model import load_model
from tasks.training.processes import distribute, gradients_stay, share_of
from tests.training.attempts import (
    SERVER,
    attempt,
    end_well,
    make_no_code,
    run_out_of_memory,
    together,
)
from tests.training.trainers import without_dropout


def test_shares_are_equal_and_cover_a_step() -> None:
    step = [np.arange(0, 5), np.arange(5, 8), np.arange(8, 20)]
    for size in (1, 2, 3, 4, 7, 30):
        shares = [share_of(Processes(rank, size), step) for rank in range(size)]
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


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores, 40 GiB, no GPU."""
    monkeypatch.setattr(cost, "num_cores", lambda: 8)
    monkeypatch.setattr(cost, "available_memory_bytes", lambda: 40 * 2**30)
    monkeypatch.setattr(cost, "has_gpu", lambda: False)


@pytest.mark.parametrize(
    ("train", "processes"),
    [
        ({"batch_tokens": 65_536}, 8),
        ({"batch_tokens": 4096}, 4),
        ({"batch_tokens": 512}, 1),
        ({"launch": {"processes_per_node": 3}}, 3),
        ({"launch": {"accelerate": "fsdp"}}, 1),
        ({"launch": {"nodes": 2, "rendezvous": "host:29500"}}, 1),
    ],
)
@pytest.mark.usefixtures("machine")
def test_a_cpu_gets_as_many_processes_as_pay(
    tiny_models: dict[str, Path], train: dict[str, Any], processes: int
) -> None:
    section = Train(**train)
    assert launch_of(section, tiny_models["t5"]).num_per_node == processes


@pytest.mark.usefixtures("machine")
def test_memory_and_gpus_limit_the_processes(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Train(batch_tokens=65_536)
    monkeypatch.setattr(cost, "num_parameters", lambda base: 10**8)  # 3 x 1.6 GB and more
    assert 1 < launch_of(train, tiny_models["t5"]).num_per_node < 8
    monkeypatch.setattr(cost, "num_parameters", lambda base: 10**10)
    assert launch_of(train, tiny_models["t5"]).num_per_node == 1
    monkeypatch.setattr(cost, "num_parameters", lambda base: None)  # a pickle
    assert launch_of(train, tiny_models["t5"]).num_per_node == 1
    monkeypatch.undo()
    monkeypatch.setattr(cost, "has_gpu", lambda: True)
    assert launch_of(train, tiny_models["t5"]) == Launch()


@pytest.mark.usefixtures("machine")
def test_an_attempt_goes_on_with_the_processes_of_the_one_before(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    def training(**launch: Any) -> Training:
        return Training(
            base_model=BaseModelSection(path=str(tiny_models["t5"])),
            train=Train(launch=Launch(**launch)),
            mixture=Mixture(),
            rehearsal=None,
        )

    job = tmp_path / "job.json"
    assert on_processes(training(), job).train.launch.num_per_node == 4
    job.write_text(json.dumps({"train": {"launch": {"processes_per_node": 2}}}), encoding="utf-8")
    assert on_processes(training(), job).train.launch.num_per_node == 2
    assert on_processes(training(processes_per_node=3), job).train.launch.num_per_node == 3


def _half_used(rank: int, port: int) -> None:
    """Two steps of accumulation with a model that has weights which it never uses."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    processes = Processes.join()
    sizes: Any = {"n_layer": 1, "n_head": 1, "n_embd": 4, "vocab_size": 16, "bos_token_id": 1}
    model: Any = GPT2LMHeadModel(GPT2Config(**sizes, eos_token_id=1))
    model.spare = torch.nn.Linear(3, 3)
    forward = distribute(model, processes, "ddp")
    for _ in range(2):
        for is_last in (False, True):
            with gradients_stay(forward, is_last):
                ids = torch.tensor([[3 + rank, 4, 5]])
                forward(input_ids=ids, labels=ids).loss.backward()
        gradients = processes.gathered(model.transformer.wte.weight.grad)
        assert torch.equal(*gradients) and gradients[0].abs().sum() > 0
        assert model.spare.weight.grad is None or not model.spare.weight.grad.any()
        model.zero_grad(set_to_none=True)
    os._exit(0)  # as `tasks.ending.run_and_end` does


def test_weights_that_are_never_used_do_not_matter() -> None:
    port = free_port()
    assert end_well([SERVER.Process(target=_half_used, args=(rank, port)) for rank in range(2)])


def _sharded_in_bf16(rank: int, port: int, base: Path) -> None:
    """A step of accumulation, as on GPUs in bf16: the gradients are those of one process."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    processes = Processes.join()
    alone, model = load_model(base), load_model(base)
    forward = distribute(model, processes, "fsdp", in_bf16=True)
    gathered: list[torch.dtype] = []
    projection = model.model.layers[0].mlp.up_proj
    projection.register_forward_pre_hook(lambda module, _: gathered.append(module.weight.dtype))
    for number in range(2):
        for each, who in ((forward, rank), (alone, 0), (alone, 1)):
            ids = torch.tensor([[3 + who, 4 + number, 5, 6]])
            with gradients_stay(each, is_last=number == 1), torch.autocast("cpu", torch.bfloat16):
                loss = each(input_ids=ids, labels=ids).loss
            (loss if each is forward else loss / 2).backward()
    assert gathered == [torch.bfloat16] * 2
    for weight, other in zip(model.parameters(), alone.parameters(), strict=True):
        gradient = weight.grad
        assert isinstance(gradient, DTensor) and isinstance(weight, DTensor)
        assert gradient.dtype == weight.dtype == torch.float32
        assert 0 < gradient.to_local().numel() < other.numel()
        assert other.grad is not None
        difference = (gradient.full_tensor() - other.grad).norm()
        assert difference < 0.01 * other.grad.norm(), difference
    os._exit(0)  # as `tasks.ending.run_and_end` does


def test_weights_are_gathered_in_bf16_and_learned_in_fp32(tiny_models: dict[str, Path]) -> None:
    port, base = free_port(), tiny_models["llama"]
    works = [SERVER.Process(target=_sharded_in_bf16, args=(rank, port, base)) for rank in range(2)]
    assert end_well(works)


def test_all_save_together_whatever_their_clocks_say(
    write_job: Callable[..., Path], tmp_path: Path
) -> None:
    # So often that in some step one clock says yes and the other one no.
    job = write_job(tmp_path / "job", "llama", 60, epochs=15, patience=15, checkpoint_minutes=5e-4)
    assert together(job, 2, free_port())
    assert len(losses(job)) > 15


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("return 0", 0, ""),
        ("return 2", 2, ""),
        ("raise RuntimeError('lost')", 1, "RuntimeError: lost"),
        ("sys.exit('alone')", 1, "SystemExit: alone"),
    ],
)
def test_it_ends_whatever_its_threads_wait_for(body: str, code: int, told: str) -> None:
    program = f"""
import sys, threading
from tasks.ending import run_and_end
def main(job):
    threading.Thread(target=threading.Event().wait).start()
    print(job)
    {body}
run_and_end(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "job.json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "job.json\n")
    assert told in done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def losses(job: Path) -> list[float]:
    lines = (job.parent / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    keys = {"step": "loss", "epoch": "validation_loss"}
    return [event[keys[event["event"]]] for event in events if event["event"] in keys]


def saved_weights(job: Path) -> set[str]:
    """Names of the weights in the model's file: of those that are tied, one."""
    return set(tensors_of(job.parent / "output" / "model" / "model.safetensors"))


def drop_nothing(job: Path) -> None:
    """Processes have a dropout of their own each, so that only without it they learn alike."""
    content = json.loads(job.read_text(encoding="utf-8"))
    content["base"] = str(without_dropout(Path(content["base"]), job.parent / "base"))
    job.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("model", "how"), [("t5", "ddp"), ("t5", "fsdp"), ("llama", "ddp"), ("llama", "fsdp")]
)
def test_two_processes_have_the_losses_of_one(
    write_job: Callable[..., Path], tmp_path: Path, model: str, how: str
) -> None:
    train: dict[str, Any] = {"epochs": 2, "checkpoint_minutes": 1e-9}
    one = write_job(tmp_path / "one", model, 90, **train)
    two = write_job(tmp_path / "two", model, 90, launch={"accelerate": how}, **train)
    for job in (one, two):
        drop_nothing(job)
    assert attempt(one)
    assert together(two, 2, free_port()), (two.parent / "log").read_text(encoding="utf-8")[-3000:]
    assert losses(two) == pytest.approx(losses(one), abs=1e-3)
    assert saved_weights(two) == saved_weights(one)
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


def test_what_one_process_began_two_go_on_with_sharded(
    write_job: Callable[..., Path], tmp_path: Path
) -> None:
    train: dict[str, Any] = {"epochs": 2, "checkpoint_minutes": 1e-9}
    job = write_job(tmp_path / "job", "llama", 90, launch={"accelerate": "fsdp"}, **train)
    drop_nothing(job)
    assert attempt(job)
    alone = losses(job)
    max((job.parent / "scratch").glob("checkpoint-*.pt")).unlink()
    shutil.rmtree(job.parent / "output" / "model")
    assert together(job, 2, free_port()), (job.parent / "log").read_text(encoding="utf-8")[-3000:]
    again = losses(job)[len(alone) :]
    assert 0 < len(again) < len(alone)
    assert again == pytest.approx(alone[-len(again) :], abs=1e-3)

    content = json.loads(job.read_text(encoding="utf-8"))
    content["train"]["launch"] = {"accelerate": "ddp"}
    job.write_text(json.dumps(content), encoding="utf-8")
    assert not attempt(job)
    told = (job.parent / "events.jsonl").read_text(encoding="utf-8")
    assert '"where": "train.launch.accelerate", "expected": "fsdp, as it was begun"' in told


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_compiled_in_two_processes_it_learns_what_one_does(
    write_job: Callable[..., Path], tmp_path: Path, how: str
) -> None:
    one = write_job(tmp_path / "one", "llama", 60, epochs=1)
    two = write_job(
        tmp_path / "two", "llama", 60, epochs=1, compile=True, launch={"accelerate": how}
    )
    for job in (one, two):
        drop_nothing(job)
    assert attempt(one)
    graphs = tmp_path / "graphs"
    ended_well = together(two, 2, free_port(), partial(make_no_code, graphs))
    assert ended_well, (two.parent / "log").read_text(encoding="utf-8")[-3000:]
    assert {*graphs.read_text(encoding="utf-8")} == {"0", "1"}
    assert losses(two) == pytest.approx(losses(one), abs=1e-3)


def test_want_of_memory_in_one_process_halves_the_batches_of_the_next_attempt(
    write_job: Callable[..., Path], tmp_path: Path
) -> None:
    train: dict[str, Any] = {"epochs": 1, "checkpoint_minutes": 1e-9}
    one, two = (write_job(tmp_path / name, "t5", 90, **train) for name in ("one", "two"))
    for job in (one, two):
        drop_nothing(job)
    assert attempt(one)
    in_the_last = partial(run_out_of_memory, 1, 200)
    # Batches have 256 tokens in training, and 512 in validation.
    for parts, where in ((2, "step 1"), (4, "validation after step 3")):
        assert not together(two, 2, free_port(), in_the_last)
        log = (two.parent / "log").read_text(encoding="utf-8")
        told = f"out of memory in {where}: from now on each micro-batch is computed in {parts} "
        assert told in log, log[-3000:]
    assert together(two, 2, free_port(), in_the_last)
    *steps, validation = losses(one)
    repeated = [*steps, steps[-1], validation]  # the last step, after which it ran out once more
    assert losses(two) == pytest.approx(repeated, abs=1e-3)
