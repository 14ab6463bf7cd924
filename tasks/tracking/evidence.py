"""Turns the figures of test and forgetting into the evidence for a decision.

evidence_of(metrics, probes, gates)
-> Evidence(metric="rougeL", gain=Interval(0.29, 0.26, 0.31), ...)
"""

from collections.abc import Mapping
from typing import Any

from tasks.scoring.metrics import MEAN
from tasks.tracking.decision import Evidence, Gates, Interval, ProbeChange


def evidence_of(
    metrics: Mapping[str, Any], probes: Mapping[str, Mapping[str, float]], gates: Gates
) -> Evidence:
    """The evidence on a new version, not yet compared with the champion.

    Args:
        metrics: `metrics.json` of the test stage.
        probes: Probe -> entry of the forgetting stage's `probes.json`.
        gates: What the recipe demands.
    """
    primary, differences = metrics["primary"], metrics["differences"]
    name = primary if primary in metrics["ways"]["tuned"] else MEAN
    few_shots = [
        _interval(entry["macro"])
        for name, entry in differences.items()
        if name.startswith("tuned-few_shot")
    ]
    return Evidence(
        metric=primary,
        base=_interval(metrics["ways"]["base"][name]),
        tuned=_interval(metrics["ways"]["tuned"][name]),
        gain=_interval(differences["tuned-base"]["macro"]),
        tasks={
            name: _interval(entry) for name, entry in differences["tuned-base"]["tasks"].items()
        },
        few_shot=min(few_shots, key=lambda ahead: ahead.low, default=None),  # the best of them
        probes={
            name: ProbeChange(
                probe["before"],
                probe["after"],
                Interval(probe["delta"], probe["low"], probe["high"]),
                # The rule of three, as for the verdicts in `probes.json`.
                has_too_few_rows=0 < probe["n"] * gates.max_drop < 3,
            )
            for name, probe in probes.items()
        },
        gates=gates,
        champion=None,
    )


def _interval(entry: Mapping[str, float]) -> Interval:
    return Interval(entry["value"], entry["low"], entry["high"])
