"""What every section of a recipe has in common: strict, frozen, documented under each field."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
"""A lower-case name that is safe in file names and URLs."""

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A share of a whole, in [0, 1)."""


class Section(BaseModel):
    """A part of a recipe. Unknown keys fail; values are not coerced; instances cannot change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )
