"""Trainers of tiny models without dropout, in this process."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tasks.config import Mixture, Train
from tasks.data.mixing import draws_per_epoch
from tasks.training.encoding import encode_examples
from tasks.training.loop import Trainer
from tasks.training.model import load_model, load_tokenizer

DROPOUT = ("dropout_rate", "attn_pdrop", "embd_pdrop", "resid_pdrop")


def trainer_of(job: Path, **train: Any) -> Trainer:
    """The trainer of a job, in a scratch folder of its own."""
    content = json.loads(job.read_text(encoding="utf-8"))
    section = Train(**content["train"] | train)
    base = without_dropout(Path(content["base"]), job.parent / "base")
    tokenizer, model = load_tokenizer(base), load_model(base)
    is_pair = bool(model.config.is_encoder_decoder)
    sides = [
        encode_examples(Path(content[side]), tokenizer, is_pair, section, Path(content["tokens"]))
        for side in ("train_file", "validation_file")
    ]
    draws = draws_per_epoch(Counter(sides[0].tasks.tolist()), Mixture())
    scratch = job.parent / f"scratch-{len(list(job.parent.iterdir()))}"
    scratch.mkdir()
    torch.manual_seed(0)
    return Trainer(model, tokenizer, *sides, draws, section, scratch, scratch / "events.jsonl")


def without_dropout(base: Path, folder: Path) -> Path:
    """A copy of a model folder whose model drops nothing."""
    folder.mkdir(exist_ok=True)
    for file in base.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {name: 0.0 for name in DROPOUT if name in config}
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder


def events_of(trainer: Trainer, name: str) -> list[dict[str, Any]]:
    lines = trainer.events.read_text(encoding="utf-8").splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == name]


def weights_of(trainer: Trainer) -> torch.Tensor:
    """All weights in one vector."""
    return torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])
