"""The `mixture` section: how several tasks share a training set.

mixture: {strategy: temperature, temperature: 2.0, cap: 3000}
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.config.section import Section


class Mixture(Section):
    """How many rows of each task one epoch draws."""

    strategy: Literal["proportional", "equal", "temperature", "weights"] = "proportional"
    """`proportional`: by rows available. `equal`: the same for each task. `temperature`: by
    rows to the power 1/temperature (T5, arXiv 1910.10683, section 3.5.2). `weights`: as given."""

    temperature: Annotated[float, Field(ge=1.0)] = 2.0
    """Temperature of the strategy of that name: 1 is proportional, larger is more equal."""

    cap: Annotated[int, Field(ge=1)] | None = None
    """Count no task as having more rows than this (FLAN used 3,000); no limit when left out."""

    weights: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    """Task name -> relative weight, for the strategy `weights`; every task needs one."""

    @model_validator(mode="after")
    def _weights_where_used(self) -> Self:
        if (self.strategy == "weights") != bool(self.weights):
            raise ValueError("expected `weights` exactly when the strategy is `weights`")
        return self
