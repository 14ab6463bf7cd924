"""In how many parts each micro-batch is computed where memory is short: kept between attempts.

note_parts(scratch, 4)
noted_parts(scratch)  ->  4
"""

import os
from pathlib import Path

PARTS = "parts"
"""File in the scratch folder of a training."""

MOST_PARTS = 64
"""More than this do not help: what runs out is taken by something else."""


def note_parts(scratch: Path, parts: int, rank: int = 0) -> None:
    """Leave to the next attempt in how many parts each micro-batch is to be computed."""
    unfinished = scratch / f"{PARTS}.{rank}"
    unfinished.write_text(str(parts), encoding="utf-8")
    os.replace(unfinished, scratch / PARTS)


def noted_parts(scratch: Path) -> int:
    """What an earlier attempt left; 1 where none did."""
    note = scratch / PARTS
    return int(note.read_text(encoding="utf-8")) if note.exists() else 1


def forget_parts(scratch: Path) -> None:
    """Have the next attempt begin with whole micro-batches."""
    (scratch / PARTS).unlink()
