"""Validate: the tuned model on the validation split, the figures to compare recipes by.

{"ways": {"tuned": {"rougeL": {"value": 0.412, "low": 0.388, "high": 0.437, "n": 100}}}, ...}
"""

import pyarrow.parquet as pq

from tasks.config import Generation, Recipe, Section
from tasks.scoring.job import Job, metrics_of_tasks, score, tuned_way, write_no_result
from tasks.stage import Counted, Inputs, Output, Stage
from tasks.stage_main import main

VERSION = "5"


class ValidateSection(Section):
    """What validation depends on, besides model and examples."""

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


def select(recipe: Recipe) -> ValidateSection:
    """The part of the recipe that validation depends on.

    Raises:
        BadInput: A metric or a prompt file is not usable.
    """
    return ValidateSection(
        metrics=metrics_of_tasks(recipe),
        generation=recipe.generation,
        max_prompt_tokens=recipe.train.max_prompt_tokens,
        resamples=recipe.test.resamples,
        seed=recipe.split.seed,
    )


def write(section: ValidateSection, inputs: Inputs, output: Output) -> Counted:
    """Score the tuned model; without a validation split there is nothing to score."""
    examples = inputs["split"] / "validation.parquet"
    num_examples = pq.read_metadata(examples).num_rows
    if not num_examples:
        write_no_result(output)
        return Counted(0, {"examples": 0})
    job = Job(
        examples=examples.absolute(),
        metrics=section.metrics,
        ways={"tuned": tuned_way(inputs["train"])},
        generation=section.generation,
        max_prompt_tokens=section.max_prompt_tokens,
        resamples=section.resamples,
        seed=section.seed,
        output=output.path.absolute(),
        events=output.scratch.absolute() / "events.jsonl",
    )
    score(job, output.scratch, "validate")
    return Counted(num_examples, {"examples": num_examples})


STAGE = Stage("validate", VERSION, needs=("split", "train"), select=select, write=write)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
