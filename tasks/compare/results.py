"""From the scored ways to the document that `retune compare --json` prints.

{"recipe": "support-chat", "metric": "rougeL", "ways": {"lora": {"gain": 0.08, "low": 0.07, "high":
 0.09, "worst_forgetting": 0.02, "worst_probe": "dates", "seconds": 61.2, ...}}, "left_out": {},
 "learning_curve": [{"examples": 125, "gain": 0.05, ...}], "phrasings": {"gain": 0.03, ...},
 "claims": [{"claim": "...", "verdict": "confirmed", "evidence": "..."}], "max_drop": 0.05, ...}
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasks.compare.claims import Change, Evidence, Interval, Point, claims
from tasks.compare.measure import BASE
from tasks.compare.ways import FULL, INTERPOLATED, LORA, MULTI_TASK, ONE_PHRASING, REPLAY
from tasks.config import Recipe
from tasks.forgetting import verdict
from tasks.stage import Artifact, read_json

ZERO_SHOT = "zero_shot"
TABLE = (FULL, LORA, MULTI_TASK, REPLAY, INTERPOLATED)
"""Ways that train, in the order of the table; the others stand in curve and phrasings."""

NO_CHANGE = Interval(0.0, 0.0, 0.0)

FORGETTING = ("worst_forgetting", "forgetting_low", "forgetting_high", "worst_probe")
COSTS = ("seconds", "peak_memory_bytes", "trainable_parameters", "steps", "tokens")
NO_TRAINING = dict.fromkeys(FORGETTING[:3], 0.0) | {"worst_probe": None} | dict.fromkeys(COSTS, 0)

Json = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """All that a comparison measured.

    Attributes:
        recipe: What was compared.
        trained: Way -> the artifact of its training.
        rows: Training examples of the largest task.
        left_out: Way -> why it was not tried.
        test: The artifact of the test of all ways.
        probes: That of the probes; None without probes.
        phrasings: That of the held-out phrasings; None where a way was left out.
    """

    recipe: Recipe
    trained: Mapping[str, Artifact]
    rows: int
    left_out: Mapping[str, str]
    test: Artifact
    probes: Artifact | None
    phrasings: Artifact | None


def document(scored: Scored) -> Json:
    """What `retune compare --json` prints, less the places where things lie."""
    test = read_json(scored.test.path / "metrics.json")
    evidence = Evidence(
        least=test["min_effect"],
        shots={
            way: (_gap(test, way, BASE), _gap(test, FULL, way))
            for way, entry in test["generation"].items()
            if entry["shots"]["fitted_mean"] >= 1
        },
        curve=_curve(scored, test),
        probes=_changes(scored),
        peft=_between(scored.probes, LORA, FULL),
        phrasings=_between(scored.phrasings, FULL, ONE_PHRASING),
        left_out=scored.left_out,
    )
    return {
        "recipe": scored.recipe.name,
        "metric": test["primary"],
        "least": evidence.least,
        "max_drop": scored.recipe.forgetting.max_drop,
        "ways": _ways(scored, test, evidence.probes),
        "left_out": dict(scored.left_out),
        "learning_curve": [
            {"examples": point.examples, **_gain(point.gain)} for point in evidence.curve
        ],
        "phrasings": _gain(evidence.phrasings) if evidence.phrasings else None,
        "claims": [asdict(claim) for claim in claims(evidence)],
    }


def _ways(scored: Scored, test: Json, changes: Mapping[str, Sequence[Change]]) -> Json:
    untrained = [way for way in test["ways"] if way not in scored.trained]
    trained = [way for way in TABLE if way in scored.trained]
    return {
        ZERO_SHOT if way == BASE else way: {
            "value": test["ways"][way][test["primary"]]["value"],
            **_gain(NO_CHANGE if way == BASE else _gap(test, way, BASE)),
            **(_training(scored, way, changes) if way in scored.trained else NO_TRAINING),
            "tokens_per_request": test["generation"][way]["tokens_per_request"],
        }
        for way in (*untrained, *trained)
    }


def _training(scored: Scored, way: str, changes: Mapping[str, Sequence[Change]]) -> Json:
    """What training took and lost; `interpolated` took that of `full`, and the time to choose."""
    artifact = scored.trained[way]
    summary, speed = (read_json(artifact.path / name) for name in ("summary.json", "speed.json"))
    before = scored.trained[FULL].seconds if way == INTERPOLATED else 0.0
    return {
        **_forgetting(changes.get(way, [])),
        "seconds": round(before + artifact.seconds, 1),
        "peak_memory_bytes": speed["peak_memory_bytes"],
        **{name: summary[name] for name in ("trainable_parameters", "steps", "tokens")},
    }


def _forgetting(changes: Sequence[Change]) -> Json:
    """The drop of the worst probe, positive where something was lost; None without probes."""
    if not changes:
        return dict.fromkeys(FORGETTING)
    worst = min(changes, key=lambda probe: probe.change.value)
    fall = worst.change
    drops = (0.0 - fall.value, 0.0 - fall.high, 0.0 - fall.low)
    return dict(zip(FORGETTING, (*drops, worst.probe), strict=True))


def _curve(scored: Scored, test: Json) -> list[Point]:
    parts = sorted(
        int(way.removeprefix(f"{FULL}_")) for way in scored.trained if way.startswith(f"{FULL}_")
    )
    points = [
        Point(rows, _gap(test, f"{FULL}_{rows}", BASE), _gap(test, FULL, f"{FULL}_{rows}"))
        for rows in parts
    ]
    return [*points, Point(scored.rows, _gap(test, FULL, BASE), None)]


def _changes(scored: Scored) -> dict[str, list[Change]]:
    """Way -> what became of each probe."""
    if scored.probes is None:
        return {}
    scores = read_json(scored.probes.path / "metrics.json")
    max_drop = scored.recipe.forgetting.max_drop
    return {
        way: [
            Change(
                probe,
                _interval(entry),
                verdict(entry, max_drop),
                entry["needed_n"],
                scores["tasks"][probe]["ways"][BASE][entry["metric"]]["value"] > max_drop,
            )
            for probe, entry in scores["differences"][f"{way}-{BASE}"]["tasks"].items()
        ]
        for way in TABLE
        if f"{way}-{BASE}" in scores["differences"]
    }


def _between(artifact: Artifact | None, one: str, other: str) -> Interval | None:
    """The mean difference of two ways over all tasks; None where they were not measured."""
    if artifact is None:
        return None
    scores = read_json(artifact.path / "metrics.json")
    return _gap(scores, one, other) if f"{one}-{other}" in scores["differences"] else None


def _gap(scores: Json, one: str, other: str) -> Interval:
    return _interval(scores["differences"][f"{one}-{other}"]["macro"])


def _interval(entry: Mapping[str, float]) -> Interval:
    return Interval(entry["value"], entry["low"], entry["high"])


def _gain(gain: Interval) -> Json:
    return {"gain": gain.value, "low": gain.low, "high": gain.high}
