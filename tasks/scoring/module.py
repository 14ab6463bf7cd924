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
        metric = METRICS[self.metric]
        text = datasets.Value("large_string")
        nats = metric.reads == "likelihoods"
        features = {
            "predictions": datasets.Value("float64") if nats else text,
            "references": datasets.List(text),
        }
        if metric.reads == "sources":
            features["sources"] = text
        predictions = "the nats of the first reference" if nats else "one text each"
        return evaluate.MetricInfo(
            description=metric.statistics.__doc__ or "",
            citation="",
            inputs_description=f"predictions: {predictions}; references: a list of texts each",
            features=datasets.Features(features),
        )

    def _compute(
        self, predictions: Sequence[Any], references: References, **sources: Sequence[str]
    ) -> dict[str, Any]:
        metric = METRICS[self.metric]
        statistics = metric.statistics(predictions, references, **sources)
        value = float(metric.aggregate(statistics.sum(axis=0)))
        return {self.metric: value, "statistics": statistics}


def statistics_of(
    name: str, completions: Sequence[Any], references: References, sources: Sequence[str]
) -> FloatArray:
    """The statistics of a metric, computed by its `evaluate` module.

    Args:
        name: Key of `METRICS`.
        completions: One text per example, or its nats; at least one.
        references: One or more texts per example.
        sources: What the model was given, one text per example.

    Returns:
        Shape (examples, statistics).
    """
    more = {"sources": list(sources)} if METRICS[name].reads == "sources" else {}
    with tempfile.TemporaryDirectory() as cache:
        module = evaluate.load(str(MODULES / name), cache_dir=cache, keep_in_memory=True)
        result = module.compute(
            predictions=list(completions), references=[list(refs) for refs in references], **more
        )
    statistics: FloatArray = result["statistics"]
    return statistics
