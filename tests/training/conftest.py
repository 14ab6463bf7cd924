"""Training jobs for tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WritePairs

TRAIN: dict[str, Any] = {
    "epochs": 3,
    "learning_rate": 1e-2,
    "batch_tokens": 512,
    "micro_batch_tokens": 256,
    "precision": "fp32",
    "checkpoint_minutes": 1e-6,
    "patience": 3,
}


@pytest.fixture(scope="session")
def write_job(write_pairs: WritePairs, tiny_models: dict[str, Path]) -> Callable[..., Path]:
    """Writes a training job into a folder: `(folder, model, rows, mixture, **train)`."""

    def write(
        folder: Path,
        model: str = "t5",
        rows: int = 240,
        mixture: dict[str, Any] | None = None,
        **train: Any,
    ) -> Path:
        for part in ("output", "scratch"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        content = {
            "base": str(tiny_models[model]),
            "base_name": model,
            "base_revision": None,
            "from_scratch": False,
            "allow_pickle": False,
            "train_file": str(write_pairs(folder / "train.parquet", rows)),
            "validation_file": str(write_pairs(folder / "validation.parquet", 30)),
            "train": TRAIN | train,
            "mixture": mixture or {},
            "output": str(folder / "output"),
            "scratch": str(folder / "scratch"),
            "tokens": str(folder / "tokens"),
            "events": str(folder / "events.jsonl"),
        }
        path = folder / "job.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write
