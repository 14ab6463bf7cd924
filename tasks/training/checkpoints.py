"""Checkpoints that a crash cannot spoil: written aside, renamed into place, verified on load.

scratch/checkpoint-00000120-3f9ac2d1e07b5a44.pt   the state after 120 steps
scratch/best-0002-91b0c3d2aa54e671/               the weights of epoch 2, the best so far

The name of each ends in the digest of its content, so that one rename makes it valid.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tasks.stage import digest_of_file, digest_of_folder

KEPT = 2
"""Checkpoints that are kept; and best weights, since a checkpoint needs those it names."""

DIGEST_DIGITS = 16


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the state after a step, and remove all but the last two checkpoints.

    Args:
        folder: Where checkpoints lie.
        step: Optimizer steps done.
        state: Tensors, numbers, strings, lists and dicts; `best` is the name of a folder that
            `save_best` wrote, or empty.
    """
    partial = folder / "checkpoint.partial"
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        partial.unlink()  # on a full disk, telling so takes room too
        raise
    _put_in_place(partial, f"checkpoint-{step:08d}-{_digest(partial)}.pt")
    for old in sorted(folder.glob("checkpoint-*.pt"))[:-KEPT]:
        old.unlink()


def save_best(folder: Path, epoch: int, write: Callable[[Path], Any]) -> str:
    """Write the best weights so far, and remove all but the last two.

    Args:
        folder: Where checkpoints lie.
        epoch: The epoch they are of.
        write: Writes them into an empty folder.

    Returns:
        The name of their folder.
    """
    partial = folder / "best.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        write(partial)
        for path in partial.rglob("*"):
            _sync(path)
    except BaseException:
        shutil.rmtree(partial)
        raise
    name = _put_in_place(partial, f"best-{epoch:04d}-{_digest(partial)}")
    for old in sorted(folder.glob("best-*"))[:-KEPT]:
        shutil.rmtree(old)
    return name


def whole_checkpoint(folder: Path, tell: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is whole, and whose best weights are.

    Damaged ones, and what was to follow on them, are removed.

    Args:
        folder: Where checkpoints lie.
        tell: Called with a sentence for each damaged one.

    Returns:
        None where there is none.
    """
    for path in sorted(folder.glob("checkpoint-*.pt"), reverse=True):
        damaged = path.name
        if _is_whole(path):
            best = read_checkpoint(path)["best"]
            if not best or _is_whole(folder / best):
                _remove_best_after(folder, best)
                return path
            damaged = best
        tell(f"{damaged} is damaged: going on from the checkpoint before {path.name}")
        path.unlink()
    _remove_best_after(folder, "")
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state that was saved, on the CPU; read from the disk as it is used."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    return state


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint; None where there is none."""
    return max(folder.glob("checkpoint-*.pt"), default=None)


def _remove_best_after(folder: Path, best: str) -> None:
    for path in folder.glob("best-*"):
        if path.name > best:
            shutil.rmtree(path)


def _is_whole(path: Path) -> bool:
    return path.exists() and path.stem.rpartition("-")[2] == _digest(path)


def _digest(path: Path) -> str:
    digest = digest_of_folder(path) if path.is_dir() else digest_of_file(path)
    return digest[:DIGEST_DIGITS]


def _put_in_place(partial: Path, name: str) -> str:
    os.replace(partial, partial.with_name(name))
    _sync(partial.parent)  # the name, too, must outlive a loss of power
    return name


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
