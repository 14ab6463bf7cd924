"""When a training is stopped because it has diverged: its loss is not finite, or has exploded.

train: step 31: expected a finite loss and gradient, found a loss that is NaN or infinite, in a
batch with the records 9f0c12ab34cd56ef, ...
"""

import math
from collections.abc import Mapping
from pathlib import Path

from tasks.errors import BadInput
from tasks.training.checkpoints import newest_checkpoint

EXPLODED = 10.0
"""A loss has exploded when it is this many times that of the first step, and this many times that
of guessing each token uniformly."""

NAMED_RECORDS = 5
LIST = "diverged.tsv"
"""File in the scratch folder: record and loss of each line."""


def has_exploded(loss: float, first_loss: float, vocab_size: int) -> bool:
    """Whether a loss has exploded; a model this bad does not recover.

    Args:
        loss: Of a step, in nats per supervised token.
        first_loss: That of the first step.
        vocab_size: Of the model.
    """
    return loss > EXPLODED * max(first_loss, math.log(vocab_size))


def diverged(where: str, losses: Mapping[str, float | None], found: str, scratch: Path) -> BadInput:
    """The error that says where it happened, on which records, and what is still good.

    Args:
        where: The step, or the validation.
        losses: Record of the batch -> its loss by itself, in nats per token; None if not known.
        found: What was there instead of a finite loss.
        scratch: Folder with the checkpoints; the records are listed there.
    """
    ids = sorted(losses, key=lambda record: _order(losses[record]))
    listed = scratch / LIST
    rows = (f"{record}\t{'' if losses[record] is None else losses[record]}\n" for record in ids)
    listed.write_text("".join(rows), encoding="utf-8")
    more = f" and {len(ids) - NAMED_RECORDS} more" if len(ids) > NAMED_RECORDS else ""
    return BadInput(
        f"train: {where}",
        "a finite loss and gradient",
        f"{found}, in a batch with the records {', '.join(ids[:NAMED_RECORDS])}{more}, worst "
        f"first (all, with the loss of each by itself, are in {listed}); the last good checkpoint "
        f"is {newest_checkpoint(scratch) or 'none yet'}",
        "lower train.learning_rate, or look at these records",
    )


def _order(loss: float | None) -> float:
    """NaN and infinite ones first, then the largest; one that is not known where it is."""
    return -(math.inf if loss is None or not math.isfinite(loss) else loss)
