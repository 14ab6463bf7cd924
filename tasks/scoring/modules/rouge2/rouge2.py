"""rouge2 as an `evaluate` module: F1 of shared pairs of words.

predictions=["a b c"], references=[["a b d"]] give {"rouge2": 0.5, ...}
"""

from tasks.scoring import module


class Rouge2(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["rouge2"]`."""

    metric = "rouge2"
