"""Forgetting: what the tuned model lost of the base model's abilities, by a suite of probes.

{"max_drop": 0.05, "within_budget": true, "worst": "dates", "probes": {"dates": {"metric":
 "exact_match", "before": 0.61, "after": 0.58, "delta": -0.03, "low": -0.07, "high": 0.01,
 "n": 200, "verdict": "uncertain", "needed_n": 310, "flips": {"right_to_wrong": {...}, ...}}}}
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tasks.config import Forgetting, Generation, Recipe, Section
from tasks.config.base_model import KeyedBaseModel
from tasks.data.base_model import folder_of
from tasks.errors import Issue
from tasks.scoring.flips import flips
from tasks.scoring.harness import HarnessJob, changes, score_with_harness
from tasks.scoring.job import Job, Way, base_way, score, tuned_way, write_no_result
from tasks.scoring.leakage import counted, overlaps
from tasks.scoring.probes import (
    LoadedProbe,
    digests_of,
    examples_of_suite,
    generation_for_probes,
    harness_of,
    load_suite,
    tell_left_out,
    write_examples,
)
from tasks.stage import Counted, Inputs, Output, Stage, digest_of_folder, read_rows, write_json
from tasks.stage_main import main

VERSION = "5"


class ForgettingSection(Section):
    """What the measurement depends on, besides the models."""

    base_model: KeyedBaseModel
    """The model that had the abilities."""

    probes: str | None
    """Probe suite: name or path; null for none."""

    max_drop: float
    """The largest drop of a probe's metric, 0 to 1, that is within the budget."""

    max_examples: int | None
    """At most this many rows of each probe."""

    side: Literal["all", "test"] = "all"
    """Which of them: all, or the half that no choice was made by."""

    leave_out_overlaps: bool
    """Leave rows out that stand, nearly the same, in the training split."""

    generation: Generation
    """How completions are generated."""

    max_prompt_tokens: int
    """Length limit of a prompt, as in training."""

    resamples: int
    """Bootstrap resamples."""

    seed: int
    """Seed of the bootstrap."""


def select(recipe: Recipe) -> ForgettingSection:
    """The part of the recipe that the measurement depends on.

    Raises:
        BadInput: The suite is not usable.
    """
    wanted: Forgetting = recipe.forgetting
    if wanted.probes is not None:
        load_suite(wanted.probes)
        harness_of(wanted.probes)
    return ForgettingSection(
        base_model=recipe.base_model,
        probes=wanted.probes,
        max_drop=wanted.max_drop,
        max_examples=wanted.max_examples,
        side="test" if recipe.chooses_by_probes else "all",
        leave_out_overlaps=wanted.leave_out_overlaps,
        generation=generation_for_probes(recipe.generation),
        max_prompt_tokens=recipe.train.max_prompt_tokens,
        resamples=recipe.test.resamples,
        seed=recipe.split.seed,
    )


def files(section: ForgettingSection) -> dict[str, str]:
    """Digests of base model, suite, prompt files and probe data; none without probes."""
    if section.probes is None:
        return {}
    base = digest_of_folder(folder_of(section.base_model))
    return {"base_model": base, **digests_of(section.probes)}


def write(section: ForgettingSection, inputs: Inputs, output: Output) -> Counted:
    """Score base and tuned model on every probe."""
    if section.probes is None:
        write_no_result(output)
        write_json(output.path / "probes.json", judged({}, section.max_drop))
        return Counted(0, {"probes": 0})
    suite, examples, leakage = rows_to_score(section, inputs, output)
    job = job_of(section, output, suite, examples, _ways(section, inputs), (("tuned", "base"),))
    result = score(job, output.scratch, "forgetting")
    rows = list(read_rows(output.path / "predictions.jsonl"))
    probes = _probes(result, rows, section.max_drop)
    probes = {name: {**probe, "leakage": leakage[name]} for name, probe in probes.items()}
    probes |= _harness_probes(section, section.probes, inputs, output)
    _correct(probes)
    write_json(output.path / "probes.json", judged(probes, section.max_drop))
    return Counted(len(examples), {"probes": len(suite)})


def rows_to_score(
    section: ForgettingSection, inputs: Inputs, output: Output
) -> tuple[tuple[LoadedProbe, ...], list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The probes, their rows to score, and what of them is nearly the same in training rows.

    A probe without rows is left out, and a warning says so.

    Raises:
        NoRows: None is left.
    """
    suite = load_suite(str(section.probes))
    examples, issues = examples_of_suite(
        suite, section.max_examples, output.scratch, inputs["split"], section.side
    )
    leakage, kept = _without_overlaps(section, examples, inputs)
    of_probes = {example["task"] for example in kept}
    issues += [_overlapping(probe) for probe in leakage if probe not in of_probes]
    tell_left_out(issues, kept)
    return tuple(loaded for loaded in suite if loaded.name in of_probes), kept, leakage


def _overlapping(probe: str) -> Issue:
    return Issue(
        f"the probe {probe}",
        "rows that do not stand, nearly the same, in the training split",
        "none",
        "set forgetting.leave_out_overlaps to false, or give it other rows",
    )


def _without_overlaps(
    section: ForgettingSection, examples: list[dict[str, Any]], inputs: Inputs
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """What of each probe stands, nearly the same, in the training split; and the rows to score."""
    by_probe: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        by_probe[example["task"]].append(example["id"])
    found = overlaps(
        {example["id"]: example["text"] for example in examples},
        inputs["template"] / "examples.parquet",
        inputs["split"] / "train.parquet",
    )
    left_out = section.leave_out_overlaps
    leakage = {
        name: {**counted(ids, found), "left_out": left_out} for name, ids in by_probe.items()
    }
    if left_out:
        examples = [example for example in examples if example["id"] not in found]
    return leakage, examples


def judged(probes: Mapping[str, Mapping[str, Any]], max_drop: float) -> dict[str, Any]:
    """Say whether what was forgotten is within the budget.

    A probe breaks it by a drop beyond `max_drop` that is no accident of the rows: the whole 95%
    interval of the change lies below 0.

    Args:
        probes: Probe -> metric, before, after, delta (after - before), low, high, n.
        max_drop: The budget, 0 to 1.
    """
    broken = [p for p in probes.values() if p["delta"] < -max_drop and p["high"] < 0]
    return {
        "max_drop": max_drop,
        "within_budget": not broken,
        "worst": min(probes, key=lambda name: probes[name]["delta"], default=None),
        "probes": dict(probes),
    }


def job_of(
    section: ForgettingSection,
    output: Output,
    suite: Sequence[LoadedProbe],
    examples: Sequence[Mapping[str, Any]],
    ways: Mapping[str, Way],
    compare: tuple[tuple[str, str], ...],
) -> Job:
    """The job that scores some ways on probes."""
    scratch = output.scratch.absolute()
    return Job(
        examples=write_examples(scratch / "examples.parquet", examples),
        metrics={loaded.name: loaded.metrics for loaded in suite},
        ways=dict(ways),
        compare=compare,
        generation=section.generation,
        max_prompt_tokens=section.max_prompt_tokens,
        min_effect=section.max_drop,
        resamples=section.resamples,
        seed=section.seed,
        output=output.path.absolute(),
        events=scratch / "events.jsonl",
    )


def _correct(probes: Mapping[str, dict[str, Any]]) -> None:
    """Correct p for the number of probes, those of the harness included (Holm)."""
    from tasks.scoring.statistics import holm  # scipy takes a second, and a plan needs none

    corrected = holm([probe["p"] for probe in probes.values()])
    for probe, p in zip(probes.values(), corrected, strict=True):
        probe["p_holm"] = p


def _harness_probes(
    section: ForgettingSection, suite: str, inputs: Inputs, output: Output
) -> dict[str, dict[str, Any]]:
    """What the lm-evaluation-harness measures, if the suite asks for it."""
    harness = harness_of(suite)
    if harness is None:
        return {}
    scratch = output.scratch.absolute()
    job = HarnessJob(
        harness=harness,
        ways=_ways(section, inputs),
        seed=section.seed,
        output=output.path.absolute() / "harness.jsonl",
        events=scratch / "harness_events.jsonl",
    )
    rows = score_with_harness(job, scratch)
    compared = changes(rows, section.resamples, section.seed, section.max_drop)
    return {
        task: {
            "metric": metric,
            **change,
            "verdict": verdict({"value": change["delta"], **change}, section.max_drop),
            "flips": flips([row for row in rows if row["task"] == task], metric),
            "leakage": None,  # not looked for
        }
        for task, metric, change in compared
    }


def _ways(section: ForgettingSection, inputs: Inputs) -> dict[str, Way]:
    return {
        "base": base_way(section.base_model),
        "tuned": tuned_way(inputs["train"]),
    }


def verdict(change: Mapping[str, float], max_drop: float) -> str:
    """What may be said of a probe.

    Args:
        change: `value`, `low`, `high` and `n` of after - before.
        max_drop: The budget, 0 to 1.

    Returns:
        `forgotten`: it fell past the budget, and not by chance; `kept`: its whole 95% interval is
        within the budget, and there are enough rows to have observed what happens to a share of
        that size (rule of three: 3 / rows; Hanley and Lippman-Hand, 1983); `uncertain`: neither,
        so more rows are needed.
    """
    if change["value"] < -max_drop and change["high"] < 0:
        return "forgotten"
    enough = max_drop == 0 or change["n"] >= 3 / max_drop
    return "kept" if change["low"] >= -max_drop and enough else "uncertain"


def _probes(
    result: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], max_drop: float
) -> dict[str, dict[str, Any]]:
    probes = {}
    for name, change in result["differences"]["tuned-base"]["tasks"].items():
        ways, metric = result["tasks"][name]["ways"], change["metric"]
        probes[name] = {
            "metric": metric,
            "before": ways["base"][metric]["value"],
            "after": ways["tuned"][metric]["value"],
            "delta": change["value"],
            **{key: change[key] for key in ("low", "high", "n", "p", "p_holm")},
            "verdict": verdict(change, max_drop),
            **{key: change[key] for key in ("detectable", "needed_n")},
            "flips": flips([row for row in rows if row["task"] == name], metric),
        }
    return probes


STAGE = Stage(
    "forgetting",
    VERSION,
    needs=("template", "split", "train"),
    select=select,
    write=write,
    files=files,
)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
