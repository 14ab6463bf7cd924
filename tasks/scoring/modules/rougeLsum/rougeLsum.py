"""rougeLsum as an `evaluate` module: F1 of the common subsequences of lines.

predictions=["a b"], references=[["a c"]] give {"rougeLsum": 0.5, ...}
"""

from tasks.scoring import module


class RougeLsum(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["rougeLsum"]`."""

    metric = "rougeLsum"
