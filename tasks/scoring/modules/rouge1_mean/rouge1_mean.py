"""rouge1_mean as an `evaluate` module: F1 of shared words, mean over references.

predictions=["a"], references=[["a", "b"]] give {"rouge1_mean": 0.5, ...}
"""

from tasks.scoring import module


class Rouge1Mean(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["rouge1_mean"]`."""

    metric = "rouge1_mean"
