"""A step is the same however it is cut; what cannot be gone on from is told."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tasks.config import Train
from tasks.errors import BadInput
from tasks.training import loop
from tasks.training.cost import Work, estimated
from tasks.training.divergence import LIST
from tasks.training.memory import is_out_of_memory
from tests.training.attempts import NO_MEMORY
from tests.training.trainers import events_of, trainer_of, weights_of

WriteJob = Callable[..., Path]


@pytest.fixture(params=["t5", "llama"])
def job(request: pytest.FixtureRequest, write_job: WriteJob, tmp_path: Path) -> Path:
    sizes = {"batch_tokens": 700, "micro_batch_tokens": 700, "epochs": 2}
    return write_job(tmp_path / "job", request.param, 60, **sizes)


def losses(trainer: Any) -> list[float]:
    return [event["loss"] for event in events_of(trainer, "step")]


def test_one_pass_for_a_step_or_one_for_each_example(job: Path) -> None:
    whole, some, single = (trainer_of(job, micro_batch_tokens=size) for size in (700, 180, 1))
    passes = [max(map(len, trainer._steps(0))) for trainer in (whole, some, single)]
    assert passes[0] == 1 and 1 < passes[1] < passes[2] > 15
    for trainer in (whole, some, single):
        trainer.run()
    for other in (some, single):
        assert losses(other) == pytest.approx(losses(whole), abs=1e-5)
        assert torch.allclose(weights_of(other), weights_of(whole), atol=1e-4)


def test_gradient_checkpointing_changes_nothing(job: Path) -> None:
    plain, checkpointed = trainer_of(job), trainer_of(job, gradient_checkpointing=True)
    assert checkpointed.model.is_activation_checkpointing
    plain.run()
    checkpointed.run()
    assert losses(checkpointed) == pytest.approx(losses(plain), abs=1e-5)
    assert torch.allclose(weights_of(checkpointed), weights_of(plain), atol=1e-4)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_memory_that_runs_out_halves_the_micro_batch(job: Path, where: str) -> None:
    undisturbed, short = trainer_of(job), trainer_of(job)
    undisturbed.run()
    largest = max(len(rows) for step in short._steps(0) for rows in step)

    def run_out(*_: Any) -> None:
        raise RuntimeError(NO_MEMORY)

    def hook(model: Any, arguments: Any, inputs: dict[str, Any], output: Any) -> None:
        # Tokens of padding aside, a pass with all examples is too large, one with half is not.
        if inputs["input_ids"].numel() > 350 and model.training:
            if where == "forward":
                run_out()
            # Some gradients are there already when this one is asked for.
            first = next(weight for weight in model.parameters() if weight.requires_grad)
            if first.requires_grad:
                output.logits.register_hook(run_out)

    short.model.register_forward_hook(hook, with_kwargs=True)
    short.run()
    assert short.progress.parts in (2, 4) and largest > 4
    assert losses(short) == pytest.approx(losses(undisturbed), abs=1e-5)
    assert torch.allclose(weights_of(short), weights_of(undisturbed), atol=1e-4)
    [*warnings] = events_of(short, "warning")
    assert "out of memory in step 1: " in warnings[0]["text"]


def test_gradients_of_an_attempt_that_ran_out_of_memory_do_not_count(job: Path) -> None:
    undisturbed, short = trainer_of(job), trainer_of(job)
    undisturbed.run()
    weights = [weight for weight in short.model.parameters() if weight.requires_grad]
    calls = 0

    def run_out_once(_: torch.Tensor) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError(NO_MEMORY)

    # The embeddings get their gradient last, when all others have theirs.
    weights[0].register_post_accumulate_grad_hook(run_out_once)
    short.run()
    assert short.progress.parts == 2
    assert torch.allclose(weights_of(short), weights_of(undisturbed), atol=1e-4)


def test_no_room_for_one_example_is_told(job: Path) -> None:
    trainer = trainer_of(job)

    def run_out(*_: Any) -> None:
        raise RuntimeError(NO_MEMORY)

    trainer.model.register_forward_pre_hook(run_out)
    with pytest.raises(BadInput, match="out of memory") as caught:
        trainer.run()
    assert "step 1" in str(caught.value) and "gradient_checkpointing" in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        NO_MEMORY,
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139 GiB",
        "CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable assertions",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_want_of_memory_is_known_by_what_is_said(said: str) -> None:
    assert is_out_of_memory(RuntimeError(said)) and not is_out_of_memory(ValueError(said))


def test_another_error_is_not_taken_for_want_of_memory(job: Path) -> None:
    trainer = trainer_of(job)

    def fail(*_: Any) -> None:
        raise RuntimeError("shapes do not match")

    trainer.model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes"):
        trainer.run()


@pytest.mark.parametrize(("factor", "found"), [(float("nan"), "NaN"), (1e5, "a loss of")])
def test_a_loss_in_ruins_stops_with_records_and_checkpoint(
    job: Path, factor: float, found: str
) -> None:
    trainer = trainer_of(job, checkpoint_minutes=1e-9)

    def spoil(model: Any, _: Any, output: Any) -> Any:
        if model.training and trainer.progress.step == 1:
            output.logits = output.logits * factor
        return output

    trainer.model.register_forward_hook(spoil)
    with pytest.raises(BadInput, match=found) as caught:
        trainer.run()
    told = str(caught.value)
    bad = {str(trainer.examples.ids[row]) for rows in trainer._steps(0)[1] for row in rows}
    assert "train: step 2, epoch 1" in told and any(name in told for name in bad)
    [checkpoint] = trainer.scratch.glob("checkpoint-*.pt")
    assert str(checkpoint) in told


def test_time_spent_on_saving_brings_the_next_checkpoint_no_nearer(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(job, batch_tokens=70, epochs=1, checkpoint_minutes=0.75)
    now, saved_after = 0.0, []

    def step(micro_batches: Any, do: Any = trainer._step) -> float:
        nonlocal now
        now += 20.0
        return float(do(micro_batches))

    def save() -> None:
        nonlocal now
        now += 600.0
        saved_after.append(trainer.progress.step)

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(trainer, "_step", step)
    monkeypatch.setattr(trainer, "_save", save)
    trainer.run()
    assert saved_after[:4] == [3, 6, 9, 12]


def test_the_record_that_ruins_a_batch_is_named_first(job: Path) -> None:
    trainer = trainer_of(job)
    step = [int(row) for rows in trainer._steps(0)[0] for row in rows]
    culprit, seen = step[-1], []

    def collate(rows: Any, examples: Any, do: Any = trainer._collate) -> Any:
        seen[:] = rows.tolist()
        return do(rows, examples)

    def spoil(model: Any, _: Any, output: Any) -> Any:
        if culprit in seen:
            output.logits = output.logits * math.nan
        return output

    trainer._collate = collate  # type: ignore[method-assign]
    trainer.model.register_forward_hook(spoil)
    with pytest.raises(BadInput, match="NaN") as caught:
        trainer.run()
    assert f"with the records {trainer.examples.ids[culprit]}, " in str(caught.value)
    listed = (trainer.scratch / LIST).read_text(encoding="utf-8").splitlines()
    assert (
        f"all, with the loss of each by itself, are in {trainer.scratch / LIST}"
        in caught.value.issues[0].found
    )
    records = dict(line.split("\t") for line in listed)
    assert {str(trainer.examples.ids[row]) for row in step} == set(records)
    assert [record for record, loss in records.items() if loss == "nan"] == [
        listed[0].split("\t")[0]
    ]


def test_a_loss_of_validation_in_ruins_is_no_model(job: Path) -> None:
    trainer = trainer_of(job)

    def spoil(model: Any, _: Any, output: Any) -> Any:
        if not model.training:
            output.logits = output.logits * math.nan
        return output

    trainer.model.register_forward_hook(spoil)
    with pytest.raises(BadInput, match="NaN") as caught:
        trainer.run()
    steps = len(trainer._steps(0))
    assert f"train: validation after step {steps}, epoch 1" in str(caught.value)
    newest = max(trainer.scratch.glob("checkpoint-*.pt"))
    assert str(newest) in str(caught.value) and f"{steps - 1:08d}" in newest.name
    assert not trainer.best


def test_what_was_begun_packed_goes_on_packed(write_job: WriteJob, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", "llama", 120, batch_tokens=300, packing=True)
    begun, other = trainer_of(job), trainer_of(job, packing=False)
    begun.run()

    def steps(trainer: Any) -> list[list[int]]:
        return [np.concatenate(step).tolist() for step in trainer._steps(0)]

    assert begun.packs and not other.packs and steps(begun) != steps(other)
    other.scratch = begun.scratch
    other._resume()
    assert other.packs and steps(begun) == steps(other)


def test_a_limit_of_steps_ends_training_and_schedule(job: Path) -> None:
    in_epoch = len(trainer_of(job)._steps(0))
    limited = trainer_of(job, epochs=9, max_steps=in_epoch + 2)
    assert limited.run().step == in_epoch + 2
    assert [epoch["step"] for epoch in events_of(limited, "epoch")] == [in_epoch, in_epoch + 2]
    rates = [step["learning_rate"] for step in events_of(limited, "step")]
    assert rates[-1] < rates[-2] < rates[-3] and rates[-1] < 0.5 * max(rates)


def test_a_limit_of_steps_is_planned_with() -> None:
    work = Work(
        mixture=(), draws=100, tokens=10_000.0, supervised_tokens=2_000.0, too_long_share=0.0,
        truncated_share=0.0, longest=(80, 20),
    )  # fmt: skip
    limits = (None, 3, 1000)
    free, short, high = (
        estimated(work, Train(epochs=4, batch_tokens=1000, max_steps=limit), (100.0, "measured"))
        for limit in limits
    )
    assert free.steps == high.steps and free.tokens == high.tokens == 40_000
    assert short.steps == 3 and free.steps is not None
    assert short.tokens == pytest.approx(40_000 * 3 / free.steps, abs=1)
    assert "at most 3 steps" in short.known_from["tokens"]
