"""exact_match as an `evaluate` module: completions that are an expected answer.

predictions=["The Nile"], references=[["nile"]] give {"exact_match": 1.0, ...}
"""

from tasks.scoring import module


class ExactMatch(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["exact_match"]`."""

    metric = "exact_match"
