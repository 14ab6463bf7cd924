"""chrf as an `evaluate` module: F2 of character n-grams in the whole set.

predictions=["a b c d"], references=[["a b c d"]] give {"chrf": 1.0, ...}
"""

from tasks.scoring import module


class Chrf(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["chrf"]`."""

    metric = "chrf"
