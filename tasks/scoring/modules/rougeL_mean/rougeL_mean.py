"""rougeL_mean as an `evaluate` module: F1 of the common subsequence, mean over references.

predictions=["a"], references=[["a", "b"]] give {"rougeL_mean": 0.5, ...}
"""

from tasks.scoring import module


class RougeLMean(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["rougeL_mean"]`."""

    metric = "rougeL_mean"
