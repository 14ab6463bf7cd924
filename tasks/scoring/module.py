"""What the `evaluate` modules in `modules/` share: the registry behind their interface.

>>> rouge = evaluate.load("tasks/scoring/modules/rougeL")
>>> rouge.compute(predictions=["a b"], references=[["a c"]])
{"rougeL": 0.5, "statistics": array([[0.5, 1. ]])}
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import evaluate

from tasks.scoring.answers import FloatArray, References
from tasks.scoring.metrics import METRICS

MODULES = Path(__file__).parent / "modules"


class RegisteredMetric(evaluate.Metric):  # type: ignore[misc]
    """An `evaluate` module of the metric that `metric` names."""

    metric: str

    def _info(self) -> evaluate.MetricInfo:
        features = {
            "predictions": datasets.Value("large_string"),
            "references": datasets.List(datasets.Value("large_string")),
        }
        return evaluate.MetricInfo(
            description=METRICS[self.metric].statistics.__doc__ or "",
            citation="",
            inputs_description="predictions: one text each; references: a list of texts each",
            features=datasets.Features(features),
        )

    def _compute(self, predictions: Sequence[str], references: References) -> dict[str, Any]:
        metric = METRICS[self.metric]
        statistics = metric.statistics(predictions, references)
        value = float(metric.aggregate(statistics.sum(axis=0)))
        return {self.metric: value, "statistics": statistics}


def statistics_of(name: str, completions: Sequence[str], references: References) -> FloatArray:
    """The statistics of a metric, computed by its `evaluate` module.

    Args:
        name: Key of `METRICS`.
        completions: One text per example; at least one.
        references: One or more texts per example.

    Returns:
        Shape (examples, statistics).
    """
    with tempfile.TemporaryDirectory() as cache:
        module = evaluate.load(str(MODULES / name), cache_dir=cache, keep_in_memory=True)
        result = module.compute(
            predictions=list(completions), references=[list(refs) for refs in references]
        )
    statistics: FloatArray = result["statistics"]
    return statistics
