"""Training for real, in a child process: it learns, resumes to the bit and stops when it must."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.errors import BadInput
from tasks.launch import launch
from tasks.training.checkpoints import read_checkpoint, save_checkpoint, whole_checkpoint
from tests.training.attempts import attempt

Write = Callable[..., Path]


@pytest.fixture
def job(tmp_path: Path, write_job: Callable[..., Path]) -> Write:
    """Writes a training job into a folder of its own."""

    def write(name: str, model: str = "t5", rows: int = 240, **train: Any) -> Path:
        return write_job(tmp_path / name, model, rows, **train)

    return write


def run(job: Path) -> None:
    assert attempt(job), (job.parent / "log").read_text(encoding="utf-8")[-2000:]


def events_of(job: Path, name: str) -> list[dict[str, Any]]:
    lines = (job.parent / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == name]


def digest(job: Path) -> str:
    weights = job.parent / "output" / "model" / "model.safetensors"
    return hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.mark.usefixtures("forked_children")
@pytest.mark.parametrize("model", ["t5", "llama", "gpt2"])
def test_it_learns_and_leaves_a_plain_folder(job: Write, model: str) -> None:
    path = job("learns", model)
    heard: list[str] = []
    launch(
        "tasks.training",
        path,
        path.parent / "events.jsonl",
        lambda event: heard.append(event["event"]),
    )
    assert heard[0] == "start" and heard[-1] == "done"
    epochs = events_of(path, "epoch")
    assert epochs[-1]["validation_loss"] < 0.7 * epochs[0]["train_loss"]
    assert epochs[-1]["validation_token_accuracy"] > 0.3
    names = {file.name for file in (path.parent / "output" / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    summary = json.loads((path.parent / "output" / "summary.json").read_text(encoding="utf-8"))
    assert summary["steps"] == summary["planned_steps"] == epochs[-1]["step"]


def test_the_loss_sequence_of_a_seed_is_fixed(job: Write) -> None:
    first, second, other = job("first"), job("second"), job("other", seed=8)
    for path in (first, second, other):
        run(path)
    losses = [[step["loss"] for step in events_of(path, "step")] for path in (first, second, other)]
    assert losses[0] == losses[1] != losses[2]
    assert digest(first) == digest(second) != digest(other)


def test_a_damaged_checkpoint_is_passed_over(job: Write) -> None:
    whole, damaged = job("whole"), job("damaged")
    run(whole)
    run(damaged)
    newest = sorted((damaged.parent / "scratch").glob("checkpoint-*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    run(damaged)
    resumed = events_of(damaged, "resumed")[-1]["step"]
    assert resumed < events_of(whole, "epoch")[-1]["step"]
    [warning] = events_of(damaged, "warning")
    assert newest.name in warning["text"]
    assert digest(damaged) == digest(whole)


def test_a_checkpoint_of_a_gpu_is_read_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as on_a_gpu:
        on_a_gpu.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        save_checkpoint(tmp_path, 7, {"best": "", "model": {"weight": torch.ones(3)}})
    path = whole_checkpoint(tmp_path, pytest.fail)
    assert path and read_checkpoint(path)["model"]["weight"].device.type == "cpu"


def test_damaged_best_weights_are_made_again(job: Write) -> None:
    whole, damaged = job("whole"), job("damaged")
    run(whole)
    run(damaged)
    scratch = damaged.parent / "scratch"
    best = max(scratch.glob("best-*"))
    (best / "model.safetensors").write_bytes(b"not weights")
    run(damaged)
    assert best.name in events_of(damaged, "warning")[0]["text"]
    assert digest(damaged) == digest(whole)


def test_micro_batches_do_not_change_the_loss(job: Write) -> None:
    losses = []
    for name, micro in (("one", 512), ("two", 256)):
        path = job(name, rows=24, epochs=1, batch_tokens=4096, micro_batch_tokens=micro)
        content = json.loads(path.read_text(encoding="utf-8"))
        content["train"]["learning_rate"] = 1e-9
        path.write_text(json.dumps(content), encoding="utf-8")
        run(path)
        losses.append(events_of(path, "epoch")[0]["train_loss"])
    # Dropout draws differently by batch; the normalisation by tokens must not differ.
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_validation_that_gets_worse_stops_the_run_and_the_best_is_kept(job: Write) -> None:
    # The learning rate rises all the time: it learns at first, and then loses it again.
    path = job("worse", learning_rate=1.0, warmup=0.99, epochs=6, patience=1)
    run(path)
    epochs = events_of(path, "epoch")
    best = min(epochs, key=lambda epoch: epoch["validation_loss"])
    assert len(epochs) < 6
    assert events_of(path, "done")[0]["best_epoch"] == best["epoch"]


def test_training_from_scratch_is_a_base_model_that_is_a_configuration(job: Write) -> None:
    path = job("scratch")
    content = json.loads(path.read_text(encoding="utf-8"))
    base = path.parent / "base"
    base.mkdir()
    for file in Path(content["base"]).iterdir():
        if file.suffix == ".json":
            (base / file.name).write_bytes(file.read_bytes())
    content |= {"base": str(base), "from_scratch": True}
    path.write_text(json.dumps(content), encoding="utf-8")
    run(path)
    epochs = events_of(path, "epoch")
    assert epochs[-1]["validation_loss"] < epochs[0]["train_loss"]


@pytest.mark.usefixtures("forked_children")
@pytest.mark.parametrize(
    ("damage", "part"),
    [
        ("weights", "model"),
        ("tokens", "at most 400 tokens"),
        ("long", "none left: 240 are over the length limits"),
    ],
)
def test_bad_input_reaches_the_parent(job: Write, tmp_path: Path, damage: str, part: str) -> None:
    path = job("bad", max_prompt_tokens=1 if damage == "long" else 512)
    content = json.loads(path.read_text(encoding="utf-8"))
    base = path.parent / "base"
    base.mkdir()
    for file in Path(content["base"]).iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    if damage == "weights":
        (base / "model.safetensors").write_bytes(b"not weights")
    if damage == "tokens":
        _add_a_token(base)
    content["base"] = str(base)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BadInput, match=part):
        launch("tasks.training", path, path.parent / "events.jsonl", lambda event: None)


def _add_a_token(base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([f"<new {number}>" for number in range(400)])
    tokenizer.save_pretrained(base)


def test_adafactor_learns_from_scratch(job: Write) -> None:
    path = job("adafactor", optimizer="adafactor", learning_rate=0.03)
    run(path)
    epochs = events_of(path, "epoch")
    assert epochs[-1]["validation_loss"] < 0.7 * epochs[0]["train_loss"]
