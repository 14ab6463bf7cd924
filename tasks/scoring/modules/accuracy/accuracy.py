"""accuracy as an `evaluate` module: completions that are the expected label.

predictions=["positive"], references=[["positive"]] give {"accuracy": 1.0, ...}
"""

from tasks.scoring import module


class Accuracy(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["accuracy"]`."""

    metric = "accuracy"
