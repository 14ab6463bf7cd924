"""When a training is stopped because its weights have gone where no training leads back from.

train: step 31, epoch 2: expected a finite loss and gradient, found a loss that is NaN or infinite,
in a batch with the records 9f0c12ab34cd56ef, ...
"""

import math
from collections.abc import Sequence
from pathlib import Path

from tasks.errors import BadInput
from tasks.training.checkpoints import newest_checkpoint
from tasks.training.progress import Progress

EXPLODED = 10.0
"""A loss is that of a model in ruins when it is this many times the first step's, and this many
times that of guessing each token blindly."""

NAMED_RECORDS = 5


def has_exploded(loss: float, first_loss: float, vocab_size: int) -> bool:
    """Whether a loss is that of a model in ruins.

    Args:
        loss: Of a step, in nats per supervised token.
        first_loss: That of the first step.
        vocab_size: Of the model.
    """
    return loss > EXPLODED * max(first_loss, math.log(vocab_size))


def diverged(progress: Progress, ids: Sequence[str], found: str, scratch: Path) -> BadInput:
    """The error that says where it happened, on which records, and what is still good.

    Args:
        progress: Where the training is.
        ids: The records of the batch.
        found: What was there instead of a finite loss.
        scratch: Folder with the checkpoints.
    """
    more = f" and {len(ids) - NAMED_RECORDS} more" if len(ids) > NAMED_RECORDS else ""
    return BadInput(
        f"train: step {progress.step + 1}, epoch {progress.epoch + 1}",
        "a finite loss and gradient",
        f"{found}, in a batch with the records {', '.join(ids[:NAMED_RECORDS])}{more}; the last "
        f"good checkpoint is {newest_checkpoint(scratch) or 'none yet'}",
        "lower train.learning_rate, or look at these records",
    )
