"""json_valid as an `evaluate` module: the share of completions that are JSON.

predictions=['{"a": 1'], references=[['{"a": 1}']] give {"json_valid": 0.0, ...}
"""

from tasks.scoring import module


class JsonValid(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["json_valid"]`."""

    metric = "json_valid"
