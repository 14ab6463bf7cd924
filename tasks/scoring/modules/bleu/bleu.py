"""bleu as an `evaluate` module: precision of word n-grams in the whole set.

predictions=["a b c d"], references=[["a b c d"]] give {"bleu": 1.0, ...}
"""

from tasks.scoring import module


class Bleu(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["bleu"]`."""

    metric = "bleu"
