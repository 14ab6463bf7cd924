"""json_f1 as an `evaluate` module: the fields of JSON, by place and value.

predictions=['{"a": 1}'], references=[['{"a": 1.0}']] give {"json_f1": 1.0, ...}
"""

from tasks.scoring import module


class JsonF1(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["json_f1"]`."""

    metric = "json_f1"
