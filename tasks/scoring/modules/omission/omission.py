"""omission as an `evaluate` module: facts that a summary left out.

predictions=["Ana pays."], references=[["Ana pays 4."]], sources=["Ana: I pay 4."] give
{"omission": 0.5, ...}
"""

from tasks.scoring import module


class Omission(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["omission"]`."""

    metric = "omission"
