"""The registry of metrics: what each is made of, which suit a task, and how a set is scored.

`METRICS["rougeL"]` has the statistics of each example and the aggregate of their sums, so that a
bootstrap can resample any metric honestly, those of a whole corpus too:

    >>> metric = METRICS["bleu"]
    >>> metric.aggregate(metric.statistics(completions, references).sum(axis=0))
    0.217

Every value lies in 0 to 1; higher is better, except where `higher_is_better` says otherwise. Each
metric is also an `evaluate` module, in `modules/<metric>`:
`evaluate.load("tasks/scoring/modules/bleu")`. The libraries behind the metrics are imported when
they are used: a stage can check names without them.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.errors import BadRecipe, Issue
from tasks.scoring import answers, faithfulness, likelihood, overlap, structured
from tasks.scoring.answers import FloatArray

MEAN = "macro/primary"
"""The name, among the metrics of a way, of the mean of several tasks' deciding metrics."""


@dataclass(frozen=True)
class Metric:
    """A metric of a set of completions.

    Attributes:
        statistics: Completions and their references (and sources) -> sufficient statistics, shape
            (examples, statistics); its docstring has range, direction, aggregation and source.
        aggregate: Sums of statistics over examples, shape (..., statistics) -> values, shape
            (...).
        reads: `references`; or `sources`, which are given as a third argument; or `likelihoods`,
            the nats of the expected completions, given instead of what was generated.
        higher_is_better: The direction. Only a metric of which this is true can be the deciding
            one of a task.
        alone: Statistics -> the score of each example by itself; `aggregate` when left out.
    """

    statistics: Callable[..., FloatArray]
    aggregate: Callable[[FloatArray], FloatArray]
    reads: Literal["references", "sources", "likelihoods"] = "references"
    higher_is_better: bool = True
    alone: Callable[[FloatArray], FloatArray] | None = None


METRICS = {
    "accuracy": Metric(answers.accuracy, answers.mean),
    "macro_f1": Metric(answers.macro_f1, answers.mean_of_classes),
    "exact_match": Metric(answers.exact_match, answers.mean),
    "token_f1": Metric(answers.token_f1, answers.mean),
    "entity_f1": Metric(answers.entity_f1, answers.f1),
    "entity_span_f1": Metric(answers.entity_span_f1, answers.f1),
    "entity_type_f1": Metric(answers.entity_type_f1, answers.f1),
    "tool_call_f1": Metric(structured.tool_call_f1, answers.f1),
    "tool_name_f1": Metric(structured.tool_name_f1, answers.f1),
    "json_f1": Metric(structured.json_f1, answers.f1),
    "json_valid": Metric(structured.json_valid, answers.mean),
    "rouge1": Metric(overlap.rouge1, answers.mean),
    "rouge2": Metric(overlap.rouge2, answers.mean),
    "rougeL": Metric(overlap.rouge_l, answers.mean),
    "rougeLsum": Metric(overlap.rouge_l_sum, answers.mean),
    "rouge1_mean": Metric(overlap.rouge1_mean, answers.mean),
    "rouge2_mean": Metric(overlap.rouge2_mean, answers.mean),
    "rougeL_mean": Metric(overlap.rouge_l_mean, answers.mean),
    "rougeLsum_mean": Metric(overlap.rouge_l_sum_mean, answers.mean),
    "bleu": Metric(overlap.bleu, overlap.bleu_of, alone=overlap.bleu_alone),
    "chrf": Metric(overlap.chrf, overlap.chrf_of),
    "length_ratio": Metric(answers.length_ratio, answers.mean),
    "fabrication": Metric(faithfulness.fabrication, faithfulness.share, "sources", False),
    "omission": Metric(faithfulness.omission, faithfulness.share, "sources", False),
    "inverse_perplexity": Metric(
        likelihood.inverse_perplexity, likelihood.inverse_perplexity_of, "likelihoods"
    ),
}
"""Metric name -> metric."""

DEFAULT_METRICS: dict[str, tuple[str, ...]] = {
    "summarization": ("rougeL", "rouge1", "rouge2", "fabrication", "omission"),
    "classification": ("accuracy", "macro_f1"),
    "entities": ("entity_f1", "entity_span_f1"),
    "translation": ("bleu", "chrf"),
    "question_answering": ("exact_match", "token_f1"),
    "generation": ("rougeL", "token_f1"),
}
"""Kind of task (of a prompt file) -> its metrics, the deciding one first."""


def check_metrics(names: Sequence[str], where: str = "metrics") -> None:
    """Check that every metric exists.

    Args:
        names: Metric names.
        where: Where they stand, for the message.

    Raises:
        BadRecipe: Naming each unknown one, the closest known one and all known ones; or none
            is given at all; or the first cannot decide.
    """
    issues = [_unknown(name, where) for name in names if name not in METRICS]
    if not names:
        issues.append(Issue(where, f"at least one of {', '.join(METRICS)}", "none"))
    elif names[0] in METRICS and not METRICS[names[0]].higher_is_better:
        expected = "a metric of which more is better first: it decides"
        issues.append(Issue(where, expected, repr(names[0]), "put another one before it"))
    if issues:
        raise BadRecipe.all_of(issues)


def _unknown(name: str, where: str) -> Issue:
    close = difflib.get_close_matches(name, METRICS, n=1)
    mend = f"did you mean {close[0]}?" if close else ""
    return Issue(where, f"one of {', '.join(METRICS)}", repr(name), mend)
