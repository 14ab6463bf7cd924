"""Checkpoints that a crash cannot spoil: written aside, renamed into place, verified on load.

scratch/checkpoint-00000120.pt          the state after 120 steps
scratch/checkpoint-00000120.pt.sha256   its digest; a file without it never counts
"""

import logging
import os
from pathlib import Path
from typing import Any

import torch

from tasks.stage import digest_of_file

KEPT = 2

logger = logging.getLogger("retune")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after a step, and remove all but the last two checkpoints.

    Args:
        folder: Where checkpoints lie.
        step: Optimizer steps done.
        state: Tensors, numbers, strings, lists and dicts.
    """
    path = folder / f"checkpoint-{step:08d}.pt"
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink()  # on a full disk, telling so takes room too
        raise
    digest = digest_of_file(partial)
    os.replace(partial, path)
    _digest_file(path).write_text(digest, encoding="utf-8")
    for old in sorted(folder.glob("checkpoint-*.pt"))[:-KEPT]:
        _digest_file(old).unlink(missing_ok=True)
        old.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that is whole; None where there is none.

    A damaged one is passed over for the one before, with a warning.
    """
    for path in sorted(folder.glob("checkpoint-*.pt"), reverse=True):
        digest = _digest_file(path)
        if digest.exists() and digest.read_text(encoding="utf-8") == digest_of_file(path):
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        logger.warning("%s is damaged, going on from the one before", path.name)
    return None


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
