"""Test: the tuned model against the base model and in-context learning, once, on held-out data.

    {"differences": {"tuned-base": {"macro": {"value": 0.21, "low": 0.18, "high": 0.24, "n": 100,
     "p": 0.0002}, "tasks": {...}}, "tuned-few_shot": {...}}, ...}

Every way gets the same prompts; in-context learning has worked examples from the training split
before them.
"""

from tasks.config import Generation, Holdout, Recipe, Section
from tasks.config.base_model import KeyedBaseModel
from tasks.data.base_model import folder_of
from tasks.scoring.job import Job, Way, base_way, metrics_of_tasks, score
from tasks.stage import Counted, Inputs, Output, Stage, digest_of_folder
from tasks.stage_main import main

VERSION = "2"


class TestSection(Section):
    """What the test depends on, besides model and examples."""

    base_model: KeyedBaseModel
    """The model that the tuned one is measured against."""

    test: Holdout
    """The ways to measure, and how exactly."""

    metrics: dict[str, tuple[str, ...]]
    """Task -> its metrics, the deciding one first."""

    generation: Generation
    """How completions are generated."""

    max_prompt_tokens: int
    """Length limit of a prompt, worked examples included."""

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
        generation=recipe.generation,
        max_prompt_tokens=recipe.train.max_prompt_tokens,
        seed=recipe.split.seed,
    )


def files(section: TestSection) -> dict[str, str]:
    """Digest of the base model."""
    return {"base_model": digest_of_folder(folder_of(section.base_model))}


def write(section: TestSection, inputs: Inputs, output: Output) -> Counted:
    """Score base, baselines and tuned model on the test split."""
    baselines = _baselines(section)
    ways = baselines | {"tuned": Way(model=(inputs["train"] / "model").absolute())}
    job = Job(
        examples=(inputs["split"] / "test.parquet").absolute(),
        metrics=section.metrics,
        ways=ways,
        shots_from=(inputs["split"] / "train.parquet").absolute(),
        compare=tuple(("tuned", name) for name in baselines),
        generation=section.generation,
        max_prompt_tokens=section.max_prompt_tokens,
        max_examples=section.test.max_examples,
        resamples=section.test.resamples,
        seed=section.seed,
        output=output.path.absolute(),
        events=output.scratch.absolute() / "events.jsonl",
    )
    result = score(job, output.scratch, "test")
    num_examples = result["differences"]["tuned-base"]["macro"]["n"]
    return Counted(num_examples, {"examples": num_examples, "ways": len(ways)})


def _baselines(section: TestSection) -> dict[str, Way]:
    shots = {"zero_shot": 0, "one_shot": 1, "few_shot": section.test.few_shot_examples}
    names = dict.fromkeys(("zero_shot", *section.test.baselines))  # base is always measured
    return {
        "base" if name == "zero_shot" else name: base_way(section.base_model, shots[name])
        for name in names
    }


STAGE = Stage("test", VERSION, needs=("split", "train"), select=select, write=write, files=files)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
