"""entity_type_f1 as an `evaluate` module: named entities by their type alone.

predictions=["person: Bo"], references=[["person: Anna"]] give {"entity_type_f1": 1.0, ...}
"""

from tasks.scoring import module


class EntityTypeF1(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["entity_type_f1"]`."""

    metric = "entity_type_f1"
