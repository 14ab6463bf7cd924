"""The sections `generation` and `test`.

generation: {max_new_tokens: 96, temperature: 0.0}
test: {baselines: [zero_shot, one_shot, few_shot]}
"""

from typing import Annotated, Literal

from pydantic import Field

from tasks.config.section import Section, Seed

Positive = Annotated[int, Field(ge=1)]
Shots = Annotated[int, Field(ge=2)]


class Generation(Section):
    """How completions are generated, in evaluation and by the registered model."""

    max_new_tokens: Positive = 96
    """Length limit of a completion, in tokens."""

    temperature: Annotated[float, Field(ge=0.0)] = 0.0
    """0 is greedy; above 0, tokens are sampled from the softmax at this temperature."""

    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """When sampling, only the likeliest tokens that together have this probability."""

    batch_tokens: Positive = 16384
    """Prompt and completion tokens that are generated together; sets the batch size."""

    seed: Seed = 7
    """Seed of the sampling."""

    engine: Literal["torch", "vllm"] = "torch"
    """What writes the completions in evaluation: Retune's own loop, or vLLM, where it is installed
    and serves the model. The registered model always takes the first."""


class Holdout(Section):
    """What the tuned model is measured against on the test split."""

    baselines: tuple[Literal["zero_shot", "one_shot", "few_shot"], ...] = (
        "zero_shot",
        "one_shot",
        "few_shot",
    )
    """The base model with no, one or several examples in its prompt, drawn from train. The
    base model without examples (`zero_shot`) is always measured."""

    few_shot_examples: Shots | Annotated[tuple[Shots, ...], Field(min_length=1)] = (3, 5)
    """Examples in a few-shot prompt; fewer where the prompt limit does not hold them. Several
    numbers are measured one by one: the first as `few_shot`, 5 as `few_shot_5`."""

    max_examples: Positive | None = None
    """At most this many test records of each task, chosen by their hash; all when left out."""

    phrasings: Annotated[int, Field(ge=0)] = 4
    """Phrasings, half of them never trained on, in which the tuned model is asked the same records,
    to see how much hangs on the wording; 0 leaves it out."""

    phrased_examples: Positive = 40
    """So many of the scored test records of each task are asked in several phrasings."""

    leave_out_overlaps: bool = False
    """Leave out of the score what stands, nearly the same, in the training split (4 in 5 of its
    word 3-grams). How many rows that are is reported in any case (`leakage.json`)."""

    resamples: Annotated[int, Field(ge=1000)] = 10_000
    """Bootstrap resamples behind every 95% interval."""
