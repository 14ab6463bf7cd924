"""The section `forgetting`: what must not be lost, and what to try where it was.

forgetting: {probes: general, max_drop: 0.05, remedies: [interpolate, lora]}
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from tasks.config.section import FilePath, Section, Share
from tasks.config.task import TaskSection

Remedy = Literal["interpolate", "replay", "lora", "multi_task"]
"""In order of cost."""

REMEDIES: tuple[Remedy, ...] = get_args(Remedy)


class Forgetting(Section):
    """Which abilities the base model must not lose, and how much of them it may."""

    probes: FilePath | None = "general"
    """Probe suite: a name in `configs/forgetting/` or the path of a YAML file; null switches the
    stage's measurements off."""

    max_drop: Share = 0.05
    """The budget: the largest drop of a probe's metric (0 to 1) that promotion tolerates."""

    max_examples: Annotated[int, Field(ge=1)] | None = None
    """At most this many rows of each probe; all when left out."""

    leave_out_overlaps: bool = False
    """Leave rows out of a probe that stand, nearly the same, in the training split."""

    remedies: tuple[Remedy, ...] = ()
    """What to try where the trained model breaks the budget, in order of cost whatever the order
    here: `interpolate` (weights between base and tuned model), `replay` (train again with 2% of
    old tasks), `lora` (train adapters instead), `multi_task` (train on old and new tasks alike).
    The best on validation within the budget is kept; docs/forgetting.md has the details."""

    old_tasks: tuple[TaskSection, ...] = ()
    """Old tasks for `replay` and `multi_task`, written like `tasks` of the recipe; those of
    `train.replay` serve too. Rows that a probe measures on are left out."""

    try_all: bool = False
    """Try every remedy, for the whole picture of gain against forgetting, instead of stopping at
    the first that is within the budget."""

    @model_validator(mode="after")
    def _remedies_have_a_use(self) -> Self:
        if self.remedies and self.probes is None:
            raise ValueError("expected `probes` to judge `remedies` by")
        if self.old_tasks and not {"replay", "multi_task"} & set(self.remedies):
            raise ValueError("expected `replay` or `multi_task` among `remedies` for `old_tasks`")
        if self.try_all and not self.remedies:
            raise ValueError("expected `remedies` to try all of")
        return self
