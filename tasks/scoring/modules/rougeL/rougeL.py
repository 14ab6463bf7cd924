"""rougeL as an `evaluate` module: F1 of the common subsequence of words.

predictions=["a b"], references=[["a c"]] give {"rougeL": 0.5, ...}
"""

from tasks.scoring import module


class RougeL(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["rougeL"]`."""

    metric = "rougeL"
