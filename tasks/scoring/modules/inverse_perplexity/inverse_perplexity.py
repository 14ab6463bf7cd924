"""inverse_perplexity as an `evaluate` module: how likely the expected text is.

predictions=[0.6931], references=[["a"]] give {"inverse_perplexity": 0.5, ...}
"""

from tasks.scoring import module


class InversePerplexity(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["inverse_perplexity"]`."""

    metric = "inverse_perplexity"
