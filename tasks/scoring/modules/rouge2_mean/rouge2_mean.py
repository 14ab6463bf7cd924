"""rouge2_mean as an `evaluate` module: F1 of shared pairs of words, mean over references.

predictions=["a b"], references=[["a b", "c d"]] give {"rouge2_mean": 0.5, ...}
"""

from tasks.scoring import module


class Rouge2Mean(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["rouge2_mean"]`."""

    metric = "rouge2_mean"
