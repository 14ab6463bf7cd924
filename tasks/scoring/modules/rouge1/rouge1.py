"""rouge1 as an `evaluate` module: F1 of shared words.

predictions=["a b"], references=[["a c"]] give {"rouge1": 0.5, ...}
"""

from tasks.scoring import module


class Rouge1(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["rouge1"]`."""

    metric = "rouge1"
