"""tool_call_f1 as an `evaluate` module: micro F1 of calls of tools, function and arguments.

predictions=['{"name": "f", "arguments": {"x": 1}}'] with the same text as its reference give
{"tool_call_f1": 1.0, ...}
"""

from tasks.scoring import module


class ToolCallF1(module.RegisteredMetric):
    """See `tasks.scoring.metrics.METRICS["tool_call_f1"]`."""

    metric = "tool_call_f1"
