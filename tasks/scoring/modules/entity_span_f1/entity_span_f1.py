"""entity_span_f1 as an `evaluate` module: named entities by their text alone.

predictions=["pet: Anna"], references=[["person: Anna"]] give {"entity_span_f1": 1.0, ...}
"""

from tasks.scoring import module


class EntitySpanF1(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["entity_span_f1"]`."""

    metric = "entity_span_f1"
