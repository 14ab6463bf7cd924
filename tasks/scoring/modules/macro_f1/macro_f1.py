"""macro_f1 as an `evaluate` module: F1 of each label, equally weighted.

predictions=["positive"], references=[["positive"]] give {"macro_f1": 1.0, ...}
"""

from tasks.scoring import module


class MacroF1(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["macro_f1"]`."""

    metric = "macro_f1"
