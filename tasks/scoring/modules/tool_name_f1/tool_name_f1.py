"""tool_name_f1 as an `evaluate` module: micro F1 of the functions that are called.

predictions=['{"name": "f", "arguments": {"x": 1}}'] with the same function in its reference give
{"tool_name_f1": 1.0, ...}
"""

from tasks.scoring import module


class ToolNameF1(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["tool_name_f1"]`."""

    metric = "tool_name_f1"
