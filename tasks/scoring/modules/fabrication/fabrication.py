"""fabrication as an `evaluate` module: facts that a summary made up.

predictions=["Ana pays 5."], references=[["Ana pays."]], sources=["Ana: I pay 4."] give
{"fabrication": 0.5, ...}
"""

from tasks.scoring import module


class Fabrication(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["fabrication"]`."""

    metric = "fabrication"
