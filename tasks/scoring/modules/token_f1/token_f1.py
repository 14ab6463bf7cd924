"""token_f1 as an `evaluate` module: F1 of the words of the answer.

predictions=["the river Nile"], references=[["Nile"]] give {"token_f1": 0.666..., ...}
"""

from tasks.scoring import module


class TokenF1(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["token_f1"]`."""

    metric = "token_f1"
