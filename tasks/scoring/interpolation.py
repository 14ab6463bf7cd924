"""How far to go from base to tuned model: the best on validation that forgets no more than it may.

    {"alpha": 0.6, "metric": "rougeL", "max_drop": 0.05, "candidates": [
      {"alpha": 0.6, "validation": 0.31, "worst": "dates", "drop": 0.02, "within_budget": true},
      ...]}

Both figures are of validation data: the recipe's validation split, and the half of each probe's
rows that the stage forgetting leaves alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.config import Generation, Recipe, Section
from tasks.scoring.job import Job, Way, metrics_of_tasks, score
from tasks.scoring.probes import examples_of, load_suite, write_examples

TUNED = 1.0
"""The tuned model itself, always a candidate."""


class Sweep(Section):
    """What the choice depends on, besides the models and the examples."""

    alphas: tuple[float, ...]
    """Shares of the tuned weights to try, besides 1."""

    metrics: dict[str, tuple[str, ...]]
    """Task -> its metrics, the deciding one first."""

    generation: Generation
    """How completions are generated."""

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


@dataclass(frozen=True)
class Candidate:
    """One interpolated model, on validation data.

    Attributes:
        alpha: Share of the tuned weights, from 0 to 1.
        validation: The deciding metric on the validation split, from 0 to 1.
        worst: The probe that lost most; None without probes.
        drop: What it lost of its metric, base minus candidate; below 0 where it gained.
        within_budget: Whether that is at most the budget.
    """

    alpha: float
    validation: float
    worst: str | None
    drop: float
    within_budget: bool


def sweep_of(recipe: Recipe, alphas: Sequence[float]) -> Sweep:
    """The sweep over some alphas by the metrics, probes and settings of a recipe.

    Raises:
        BadInput: A metric, a prompt file or the suite is not usable.
    """
    if recipe.forgetting.probes is not None:
        load_suite(recipe.forgetting.probes)
    return Sweep(
        alphas=tuple(alphas),
        metrics=metrics_of_tasks(recipe),
        generation=recipe.generation,
        max_prompt_tokens=recipe.train.max_prompt_tokens,
        resamples=recipe.test.resamples,
        seed=recipe.split.seed,
        probes=recipe.forgetting.probes,
        max_drop=recipe.forgetting.max_drop,
        max_probe_rows=recipe.forgetting.max_examples,
    )


def run_sweep(sweep: Sweep, base: Way, tuned: Path, split: Path, scratch: Path) -> dict[str, Any]:
    """Score every candidate in processes of their own, and choose.

    Args:
        sweep: What to try, and how to judge it.
        base: The base model.
        tuned: Folder of the model that was fine-tuned from it.
        split: Folder of the stage split.
        scratch: Folder for job files and scores.

    Returns:
        `alpha`, the choice; `metric`, `max_drop` and `candidates`.

    Raises:
        BadInput: A model or the examples are unusable.
        ChildFailed: A process ended abnormally.
    """
    ways = {
        f"{alpha:g}": Way(model=tuned, alpha=alpha, base=base.model, allow_pickle=base.allow_pickle)
        for alpha in sorted({*sweep.alphas, TUNED})
    }
    examples = (split / "validation.parquet").absolute()
    scored = _score(sweep, examples, sweep.metrics, ways, scratch / "validation")
    name = next(iter(sweep.metrics.values()))[0] if len(sweep.metrics) == 1 else "macro/primary"
    drops = _drops(sweep, ways, base, split, scratch)
    candidates = []
    for label, way in ways.items():
        worst = max(drops, key=lambda probe: drops[probe][label], default=None)
        drop = drops[worst][label] if worst else 0.0
        validation = scored["ways"][label][name]["value"]
        within = drop <= sweep.max_drop
        candidates.append(Candidate(way.alpha, validation, worst, drop, within))
    return {
        "alpha": choose(candidates).alpha,
        "metric": name,
        "max_drop": sweep.max_drop,
        "candidates": [asdict(candidate) for candidate in candidates],
    }


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The best on validation of those within the budget; where none is, the one that lost least.

    It is the drop itself that counts here, whatever its interval: a choice that took the want of
    rows for the want of a drop would not hold on the probes' test side. Of equals, the one that is
    nearer to the base model.
    """
    within = [candidate for candidate in candidates if candidate.within_budget]
    if within:
        return max(within, key=lambda candidate: (candidate.validation, -candidate.alpha))
    return min(candidates, key=lambda candidate: (candidate.drop, candidate.alpha))


def _drops(
    sweep: Sweep, ways: Mapping[str, Way], base: Way, split: Path, scratch: Path
) -> dict[str, dict[str, float]]:
    """Probe -> way -> what it lost of the base model's metric, on the probes' validation side."""
    if sweep.probes is None:
        return {}
    trained = pq.read_table(split / "train.parquet", columns=["id", "prompt"])
    ids, prompts = (set(column.to_pylist()) for column in trained.columns)
    suite = load_suite(sweep.probes)
    examples = [
        example
        for loaded in suite
        for example in examples_of(
            loaded, sweep.max_probe_rows, scratch, ids, prompts, side="validation"
        )
    ]
    folder = scratch / "probes"
    folder.mkdir(exist_ok=True)
    path = write_examples(folder / "examples.parquet", examples)
    metrics = {loaded.name: loaded.metrics for loaded in suite}
    scored = _score(sweep, path, metrics, {"base": base, **ways}, folder)["tasks"]
    drops: dict[str, dict[str, float]] = {}
    for probe, names in metrics.items():
        values = {way: scored[probe]["ways"][way][names[0]]["value"] for way in ("base", *ways)}
        drops[probe] = {way: round(values["base"] - values[way], 6) for way in ways}
    return drops


def _score(
    sweep: Sweep,
    examples: Path,
    metrics: Mapping[str, tuple[str, ...]],
    ways: Mapping[str, Way],
    folder: Path,
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    job = Job(
        examples=examples,
        metrics=dict(metrics),
        ways=dict(ways),
        generation=sweep.generation,
        max_prompt_tokens=sweep.max_prompt_tokens,
        resamples=sweep.resamples,
        seed=sweep.seed,
        output=folder,
        events=folder / "events.jsonl",
    )
    return score(job, folder, "interpolate")
