"""The `registry` section, for example `{model: support-summarizer}`."""

from typing import Annotated

from pydantic import Field

from tasks.config.section import Name, Section


class Registry(Section):
    """Where the model version goes, and what it takes to become champion."""

    model: Name
    """Name of the registered model in MLflow."""

    min_gain: Annotated[float, Field(ge=0.0)] = 0.0
    """Promotion needs the 95% interval of the gain over the base model (0 to 1) above this."""
