"""Sections of `train`: adapters, rehearsal of old tasks, interpolation of weights.

lora: {rank: 16, alpha: 32, targets: auto}
replay: {ratio: 0.02, tasks: [{name: entities, source: {path: old.jsonl}, prompts: named_entities}]}
interpolate: {alphas: [0.2, 0.4, 0.6, 0.8]}
"""

from typing import Annotated, Literal

from pydantic import Field

from tasks.config.section import Section, Share
from tasks.config.task import TaskSection

Alpha = Annotated[float, Field(gt=0.0, lt=1.0)]
Targets = Annotated[tuple[str, ...], Field(min_length=1)]


class Lora(Section):
    """Low-rank adapters (arXiv 2106.09685), for the methods `lora` and `qlora`."""

    rank: Annotated[int, Field(ge=1)] = 16
    """Rank of the update of each weight matrix: the size of the adapter."""

    alpha: Annotated[int, Field(ge=1)] = 32
    """The update is scaled by alpha / rank."""

    dropout: Share = 0.0
    """Dropout on what goes into the adapters."""

    targets: Literal["auto"] | Targets = "auto"
    """Names of the layers that get an adapter, such as `[q_proj, v_proj]`. `auto`: every linear
    layer but the output layer, whatever the architecture calls them (arXiv 2305.14314, section 4:
    fewer do not reach what full fine-tuning does), and but `out_proj` of Mamba models and experts
    that lie in one tensor (Mixtral)."""

    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead, for high ranks (arXiv 2312.03732)."""

    dora: bool = False
    """Train magnitude and direction of the weights apart (arXiv 2402.09353): slower, and often
    better at low ranks."""


class Replay(Section):
    """Rehearsal of old tasks among the new ones, against forgetting (arXiv 2205.12393)."""

    ratio: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.02
    """Their share of the examples of an epoch, divided equally among the old tasks."""

    tasks: Annotated[tuple[TaskSection, ...], Field(min_length=1)]
    """The old tasks, written like `tasks` of the recipe. They are trained on with all their rows
    but those that a probe of the recipe measures on, and never scored."""


class Interpolate(Section):
    """Weights between those of base and tuned model (WiSE-FT, arXiv 2109.01903)."""

    alphas: Annotated[tuple[Alpha, ...], Field(min_length=1)] = (0.2, 0.4, 0.6, 0.8)
    """Shares of the tuned weights to try, besides 1. The model that goes on is the best on the
    validation split among those that are within `forgetting.max_drop` on the validation half of
    every probe's rows; the stage forgetting then measures on the other half."""
