"""Prompt sensitivity: how much the score depends on the phrasing, and whether it was trained on.

{"metric": "rougeL", "templates": {"gist": {"heldout": false, "value": 0.21, "low": 0.19,
 "high": 0.23, "n": 40}, ...}, "spread": 0.03, "seen": {"value": 0.21, ...},
 "heldout": {"value": 0.19, ...}, "difference": {"value": 0.02, ...}}
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.scoring.answers import FloatArray
from tasks.scoring.metrics import METRICS
from tasks.scoring.statistics import difference, estimates, interval

SEEN, HELDOUT = "seen", "heldout"


def sensitivity(
    examples: Sequence[Mapping[str, Any]],
    statistics: FloatArray,
    metric: str,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The deciding metric of one task by phrasing.

    Args:
        examples: Of the task, each record in every phrasing, record after record.
        statistics: Of the examples, shape (examples, statistics).
        metric: Its name.
        num_resamples: Bootstrap resamples, of records.
        seed: Of the resampling.

    Returns:
        Each phrasing's value; `spread`, the largest less the smallest; and where there are
        held-out phrasings the two kinds and their paired difference, seen - held out.
    """
    templates = {example["template"]: example["heldout"] for example in examples}
    # (records, templates, statistics): the sum over phrasings stands for a record.
    by_record = statistics.reshape(-1, len(templates), statistics.shape[1])
    is_heldout = np.array(list(templates.values()))
    scored = {name: by_record[:, place] for place, name in enumerate(templates)}
    kinds = {SEEN: by_record[:, ~is_heldout].sum(axis=1)}
    if is_heldout.any():
        kinds[HELDOUT] = by_record[:, is_heldout].sum(axis=1)
    aggregate = METRICS[metric].aggregate
    keyed = {("template", name): (rows, aggregate) for name, rows in scored.items()}
    keyed |= {("kind", kind): (rows, aggregate) for kind, rows in kinds.items()}
    groups = [example.get("group_id") for example in examples[:: len(templates)]]
    known = estimates(keyed, num_resamples, seed, groups)
    values = [known["template", name].value for name in templates]
    result: dict[str, Any] = {
        "metric": metric,
        "templates": {
            name: {"heldout": heldout, **interval(known["template", name])}
            for name, heldout in templates.items()
        },
        "spread": round(max(values) - min(values), 6),
        SEEN: interval(known["kind", SEEN]),
    }
    if HELDOUT in kinds:
        result[HELDOUT] = interval(known["kind", HELDOUT])
        result["difference"] = interval(difference(known["kind", SEEN], known["kind", HELDOUT]))
    return result
