"""The `retrain` section, for example `{start_from: champion, max_shift: {label_share: 0.1}}`."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.config.section import Section, Share


class MaxShift(Section):
    """How far new data may differ from those of the version in service before a person is asked."""

    fewer_rows: Share = 0.5
    """Share of a task's records that may be missing."""

    label_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """Largest change of the share that a label has of its task's records."""

    length: Annotated[float, Field(ge=0.0)] = 0.5
    """Largest change of the mean length of prompts or of completions, as a share of what it was."""

    rejected: Share = 0.05
    """Largest rise of the share of rows that are unusable."""


class Retrain(Section):
    """What `retune retrain` does with new data."""

    start_from: Literal["base", "champion"] = "base"
    """Start each training from the base model, or from the weights of the version in service. Test
    and probes compare with the base model either way."""

    max_shift: MaxShift = MaxShift()
    """A larger change of the data waits for approval instead of being trained on."""
