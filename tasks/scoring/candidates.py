"""What candidates learnt and forgot, on validation data, and which of them goes on.

choose({"tuned": Measured(validation=0.34, gain=0.29, ..., worst="dates", drop=0.12, ...),
        "replay": Measured(validation=0.33, gain=0.28, ..., worst="dates", drop=0.02, ...)})
-> "replay"

All figures are of the recipe's validation split, and of the half of each probe's rows that the
stage forgetting leaves alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.config import Generation, Recipe, Section
from tasks.errors import Issue
from tasks.scoring.job import Job, Way, metrics_of_tasks, score
from tasks.scoring.metrics import MEAN
from tasks.scoring.probes import (
    LoadedProbe,
    examples_of_suite,
    generation_for_probes,
    load_suite,
    tell_left_out,
    write_examples,
)

BASE = "base"
PROBE = "probe/"
"""Before the name of a probe, so that it is no name of a task."""


class Measures(Section):
    """What candidates are measured by."""

    metrics: dict[str, tuple[str, ...]]
    """Task -> its metrics, the deciding one first."""

    generation: Generation
    """How completions are generated."""

    probe_generation: Generation
    """How those of probes are."""

    max_prompt_tokens: int
    """Length limit of a prompt, as in training."""

    resamples: int
    """Bootstrap resamples."""

    seed: int
    """Seed of the bootstrap."""

    probes: str | None
    """Probe suite: name or path; null for none."""

    max_drop: float
    """The largest drop of a probe's metric, 0 to 1, that is within the budget."""

    max_probe_rows: int | None
    """At most this many rows of each probe, of which half are of the validation side."""

    @property
    def metric(self) -> str:
        """The figure on the validation split that decides."""
        return next(iter(self.metrics.values()))[0] if len(self.metrics) == 1 else MEAN


@dataclass(frozen=True)
class Measured:
    """One candidate on validation data.

    Attributes:
        validation: The deciding metric on the validation split, from 0 to 1.
        gain: That, minus the base model's; `gain_low` to `gain_high` is its 95% interval.
        worst: The probe that lost most; None without probes.
        drop: What it lost of its metric, base minus candidate, below 0 where it gained;
            `drop_low` to `drop_high` is its 95% interval.
        within_budget: Whether that is at most the budget.
    """

    validation: float
    gain: float
    gain_low: float
    gain_high: float
    worst: str | None
    drop: float
    drop_low: float
    drop_high: float
    within_budget: bool


def measures_of(recipe: Recipe) -> Measures:
    """What a recipe's candidates are measured by.

    Raises:
        BadInput: A metric, a prompt file or the suite is not usable.
    """
    if recipe.forgetting.probes is not None:
        load_suite(recipe.forgetting.probes)
    return Measures(
        metrics=metrics_of_tasks(recipe),
        generation=recipe.generation,
        probe_generation=generation_for_probes(recipe.generation),
        max_prompt_tokens=recipe.train.max_prompt_tokens,
        resamples=recipe.test.resamples,
        seed=recipe.split.seed,
        probes=recipe.forgetting.probes,
        max_drop=recipe.forgetting.max_drop,
        max_probe_rows=recipe.forgetting.max_examples,
    )


def check_probes(measures: Measures, split: Path, scratch: Path) -> None:
    """Check, before anything is trained, that there are probes to choose by.

    Args:
        measures: What candidates are measured by.
        split: Folder of the stage split.
        scratch: Folder for rows that have to be fetched first.

    Raises:
        NoRows: No probe has a row to measure on.
    """
    _, examples, issues = _probe_examples(measures, split, scratch)
    if issues:
        tell_left_out(issues, examples)


def measure(
    measures: Measures, base: Way, ways: Mapping[str, Way], split: Path, scratch: Path
) -> dict[str, Measured]:
    """Score candidates and their base model, in a process of its own.

    Args:
        measures: By what.
        base: The base model.
        ways: The candidates by name.
        split: Folder of the stage split.
        scratch: Folder for job files and scores; what is answered there already is not again.

    Returns:
        Name -> figures, in the order of `ways`.

    Raises:
        BadInput: A model or the examples are unusable.
        ChildFailed: A process ended abnormally.
    """
    examples = pq.read_table(split / "validation.parquet").to_pylist()
    scratch.mkdir(parents=True, exist_ok=True)
    suite, of_probes, _ = _probe_examples(measures, split, scratch)
    probes = {PROBE + probe.name: probe.metrics for probe in suite}
    job = Job(
        examples=write_examples(
            scratch / "examples.parquet",
            [*examples, *({**example, "task": PROBE + example["task"]} for example in of_probes)],
        ),
        metrics={**measures.metrics, **probes},
        ways={BASE: base, **ways},
        compare=tuple((way, BASE) for way in ways),
        means=tuple(measures.metrics),
        generation=measures.generation,
        own_generation=dict.fromkeys(probes, measures.probe_generation),
        max_prompt_tokens=measures.max_prompt_tokens,
        resamples=measures.resamples,
        seed=measures.seed,
        output=scratch,
        events=scratch / "events.jsonl",
    )
    scored = score(job, scratch, "candidates")
    return {way: _measured(scored, way, measures) for way in ways}


def choose(candidates: Mapping[str, Measured]) -> str:
    """The best on validation of those within the budget; where none is, the one that lost least.

    It is the drop itself that counts here, whatever its interval: a choice that took the want of
    rows for the want of a drop would not hold on the probes' test side.

    Args:
        candidates: In order of cost: of equals in both figures, the first is taken.

    Returns:
        Its name.
    """
    within = [name for name, candidate in candidates.items() if candidate.within_budget]
    if within:
        return max(within, key=lambda name: (candidates[name].validation, -candidates[name].drop))
    return min(candidates, key=lambda name: (candidates[name].drop, -candidates[name].validation))


def _measured(scored: Mapping[str, Any], way: str, measures: Measures) -> Measured:
    change = scored["differences"][f"{way}-{BASE}"]
    gain, tasks = change["macro"], change["tasks"]
    probes = {name.removeprefix(PROBE): tasks[name] for name in tasks if name.startswith(PROBE)}
    worst = min(probes, key=lambda probe: probes[probe]["value"], default=None)
    lost = probes[worst] if worst else {"value": 0.0, "low": 0.0, "high": 0.0}
    drop = round(-lost["value"], 6) + 0.0  # no minus before 0
    of_all = scored["ways"][way]
    return Measured(
        validation=of_all.get(MEAN, of_all.get(measures.metric))["value"],
        gain=gain["value"],
        gain_low=gain["low"],
        gain_high=gain["high"],
        worst=worst,
        drop=drop,
        drop_low=-lost["high"] + 0.0,
        drop_high=-lost["low"] + 0.0,
        within_budget=drop <= measures.max_drop,
    )


def _probe_examples(
    measures: Measures, split: Path, scratch: Path
) -> tuple[list[LoadedProbe], list[dict[str, Any]], list[Issue]]:
    """The probes with a validation side, its rows less those trained on; why others have none."""
    if measures.probes is None:
        return [], [], []
    suite = load_suite(measures.probes)
    examples, issues = examples_of_suite(
        suite, measures.max_probe_rows, scratch, split, side="validation"
    )
    found = {example["task"] for example in examples}
    return [loaded for loaded in suite if loaded.name in found], examples, issues
