"""Test: the tuned model against the base model and in-context learning, once, on held-out data.

    {"differences": {"tuned-base": {"macro": {"value": 0.21, "low": 0.18, "high": 0.24, "n": 100,
     "p": 0.0002}, "tasks": {...}}, "tuned-few_shot": {...}}, ...}

Every way gets the same prompts; in-context learning has worked examples from the training split
before them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.config import Generation, Holdout, Recipe, Section
from tasks.config.base_model import KeyedBaseModel
from tasks.data.base_model import folder_of
from tasks.prompts.of_task import TaskPrompts
from tasks.scoring.job import (
    DEFAULT_MIN_EFFECT,
    Job,
    Way,
    base_ways,
    metrics_of_tasks,
    prompts_of_tasks,
    score,
    tuned_way,
)
from tasks.scoring.leakage import SIMILARITY, counted, overlaps, texts_of
from tasks.scoring.phrasings import SCHEMA, phrased, some
from tasks.stage import Counted, Inputs, Output, Stage, digest_of_folder, logger, write_json
from tasks.stage_main import main

VERSION = "6"


class TestSection(Section):
    """What the test depends on, besides model and examples."""

    base_model: KeyedBaseModel
    """The model that the tuned one is measured against."""

    test: Holdout
    """The ways to measure, and how exactly."""

    metrics: dict[str, tuple[str, ...]]
    """Task -> its metrics, the deciding one first."""

    prompts: dict[str, TaskPrompts]
    """Task -> its phrasings."""

    generation: Generation
    """How completions are generated."""

    max_prompt_tokens: int
    """Length limit of a prompt, worked examples included."""

    min_gain: float
    """The gain that is asked for (`registry.min_gain`): what the test is to tell, and how many
    rows that takes, depends on it."""

    seed: int
    """Seed of the bootstrap and of the draw of worked examples."""


def select(recipe: Recipe) -> TestSection:
    """The part of the recipe that the test depends on.

    Raises:
        BadInput: A metric or a prompt file is not usable.
    """
    return TestSection(
        base_model=recipe.base_model,
        test=recipe.test,
        metrics=metrics_of_tasks(recipe),
        prompts=prompts_of_tasks(recipe),
        generation=recipe.generation,
        max_prompt_tokens=recipe.train.max_prompt_tokens,
        min_gain=recipe.registry.min_gain,
        seed=recipe.split.seed,
    )


def files(section: TestSection) -> dict[str, str]:
    """Digest of the base model."""
    return {"base_model": digest_of_folder(folder_of(section.base_model))}


def write(section: TestSection, inputs: Inputs, output: Output) -> Counted:
    """Score base, baselines and tuned model on the test split.

    Raises:
        BadData: All rows of a task overlap with the training split and are to be left out.
    """
    baselines = base_ways(section.base_model, section.test)
    ways = baselines | {"tuned": tuned_way(inputs["train"])}
    examples = rows_to_score(section, inputs, output)
    phrasings = _phrasings(section, inputs, examples, output.scratch.absolute())
    compare = tuple(("tuned", name) for name in baselines)
    job = job_of(section, inputs, output, examples, ways, compare)
    result = score(job.model_copy(update={"phrasings": phrasings}), output.scratch, "test")
    tell_what_did_not_fit(result, section.max_prompt_tokens)
    num_examples = result["differences"]["tuned-base"]["macro"]["n"]
    return Counted(num_examples, {"examples": num_examples, "ways": len(ways)})


def job_of(
    section: TestSection,
    inputs: Inputs,
    output: Output,
    examples: Path,
    ways: Mapping[str, Way],
    compare: tuple[tuple[str, str], ...],
) -> Job:
    """The job that scores some ways on test rows, worked examples drawn from the training split."""
    return Job(
        examples=examples,
        metrics=section.metrics,
        ways=dict(ways),
        shots_from=(inputs["split"] / "train.parquet").absolute(),
        compare=compare,
        generation=section.generation,
        max_prompt_tokens=section.max_prompt_tokens,
        max_examples=section.test.max_examples,
        min_gain=section.min_gain,
        min_effect=section.min_gain or DEFAULT_MIN_EFFECT,
        resamples=section.test.resamples,
        seed=section.seed,
        output=output.path.absolute(),
        events=output.scratch.absolute() / "events.jsonl",
    )


def rows_to_score(section: TestSection, inputs: Inputs, output: Output) -> Path:
    """The test rows to score; which of them overlap with the training split is written down."""
    path = (inputs["split"] / "test.parquet").absolute()
    rows = pq.read_table(path)
    ids, tasks = rows["id"].to_pylist(), rows["task"].to_pylist()
    examples = inputs["template"] / "examples.parquet"
    texts = dict(texts_of(examples, set(ids)))
    found = overlaps(texts, examples, inputs["split"] / "train.parquet")
    by_task = {
        task: counted([row for row, of in zip(ids, tasks, strict=True) if of == task], found)
        for task in section.metrics
    }
    left_out = section.test.leave_out_overlaps
    leakage = {"threshold": SIMILARITY, "left_out": left_out, "tasks": by_task}
    write_json(output.path / "leakage.json", leakage)
    for task, entry in by_task.items():
        if entry["overlapping"]:
            message = "test: %d of %d rows of %s stand, nearly the same, in the training split%s"
            ending = ", and are left out" if left_out else ""
            logger.warning(message, entry["overlapping"], entry["rows"], task, ending)
    if not left_out or not found:
        return path
    kept = output.scratch.absolute() / "test.parquet"
    pq.write_table(rows.filter([row not in found for row in ids]), kept)
    return kept


def _phrasings(section: TestSection, inputs: Inputs, examples: Path, scratch: Path) -> Path | None:
    """Some test records in several phrasings; None where no task has several."""
    test = pq.read_table(examples, columns=["id", "task"]).to_pylist()
    rows = []
    number = section.test.phrased_examples
    if section.test.max_examples is not None:
        number = min(number, section.test.max_examples)
    for task, own in section.prompts.items():
        ids = [row["id"] for row in test if row["task"] == task]
        asked = some(ids, number)
        records = inputs["ingest"] / f"{task}.parquet"
        rows += phrased(task, own.load(), section.test.phrasings, records, asked)
    if not rows:
        return None
    path = scratch / "phrasings.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def tell_what_did_not_fit(result: Mapping[str, Any], limit: int) -> None:
    """Warn of prompts that were cut, and of worked examples that found no room.

    Args:
        result: The content of `metrics.json`.
        limit: Of a prompt's length, in tokens.
    """
    for way, entry in result["generation"].items():
        shots = entry["shots"]
        missing = sum(
            rows for number, rows in shots["fitted"].items() if int(number) < shots["asked"]
        )
        if missing:
            logger.warning(
                "test: %s: %d rows had fewer than %d examples in their prompts, for not all of "
                "them fit into train.max_prompt_tokens = %d (on average %.1f)",
                way, missing, shots["asked"], limit, shots["fitted_mean"],
            )  # fmt: skip
        if entry["truncated_prompts"]:
            logger.warning(
                "test: %s: %d prompts lost their end, being longer than the limit",
                way, entry["truncated_prompts"],
            )  # fmt: skip


STAGE = Stage(
    "test",
    VERSION,
    needs=("ingest", "template", "split", "train"),
    select=select,
    write=write,
    files=files,
)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
