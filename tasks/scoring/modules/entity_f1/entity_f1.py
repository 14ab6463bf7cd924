"""entity_f1 as an `evaluate` module: micro F1 of entities, text and type.

predictions=["pet: Rex; place: Rome"], references=[["pet: Rex"]] give {"entity_f1": 0.666..., ...}
"""

from tasks.scoring import module


class EntityF1(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["entity_f1"]`."""

    metric = "entity_f1"
