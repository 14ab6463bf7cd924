"""length_ratio as an `evaluate` module: shorter text by longer, in words.

predictions=["a b"], references=[["a b c d"]] give {"length_ratio": 0.5, ...}
"""

from tasks.scoring import module


class LengthRatio(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["length_ratio"]`."""

    metric = "length_ratio"
