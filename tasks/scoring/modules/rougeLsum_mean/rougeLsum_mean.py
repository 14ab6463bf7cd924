"""rougeLsum_mean as an `evaluate` module: ROUGE-L of several sentences, mean over references.

predictions=["a"], references=[["a", "b"]] give {"rougeLsum_mean": 0.5, ...}
"""

from tasks.scoring import module


class RougeLsumMean(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["rougeLsum_mean"]`."""

    metric = "rougeLsum_mean"
