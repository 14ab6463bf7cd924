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

    beat_few_shot: bool = True
    """Promotion needs the 95% interval of the gain over a few-shot prompt above 0 as well, where
    `test.baselines` has `few_shot`."""

    fabrication_not_worse: bool = True
    """Promotion needs a model that does not certainly fabricate more than the champion, where the
    metric `fabrication` is measured."""

    approval: bool = False
    """Whether a version that passed every gate waits for a person before it becomes champion:
    `retune promote MODEL --approve`, or the form of the paused flow run on Prefect's page."""
