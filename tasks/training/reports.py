"""What a training reports of its steps on the way: loss, learning rate and speed.

step 120/210  epoch 2  loss 1.92  lr 3.1e-04  8,120 tokens/s
"""

import time
from collections.abc import Callable

from tasks.training.progress import Progress

REPORTS_PER_RUN = 200


class StepReports:
    """Reports some of the steps, each with the tokens a second since the one before."""

    def __init__(self, report: Callable[..., None], num_steps: int) -> None:
        """Report nothing yet.

        Args:
            report: Called with the event's name and its values.
            num_steps: Of the whole run.
        """
        self._report, self._num_steps = report, num_steps
        self._every = max(1, num_steps // REPORTS_PER_RUN)

    def begin(self, progress: Progress) -> None:
        """Start the clock, which ran on while nothing was trained."""
        self._since, self._tokens = time.monotonic(), progress.tokens

    def done(self, progress: Progress, loss: float, learning_rate: float) -> None:
        """A step is done.

        Args:
            progress: After it.
            loss: Of it, in nats per supervised token.
            learning_rate: Of it.
        """
        if progress.step % self._every and progress.step != self._num_steps:
            return
        now = time.monotonic()
        self._report(
            "step",
            step=progress.step,
            steps=self._num_steps,
            epoch=progress.epoch + 1,
            loss=round(loss, 6),
            learning_rate=learning_rate,
            tokens_per_s=round((progress.tokens - self._tokens) / (now - self._since), 1),
            seconds=round(progress.seconds, 3),
        )
        self._since, self._tokens = now, progress.tokens
