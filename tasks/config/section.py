"""What every section of a recipe has in common: strict, frozen, documented under each field."""

import os.path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4095  # NAME_MAX and PATH_MAX of Linux

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
"""A lower-case name that is safe in file names and URLs."""

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A share of a whole, in [0, 1)."""

Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""What numpy and torch take, also with the number of a process added."""


def _possible(path: str) -> str:
    """Refuse here, where its line is known, what no file system takes later."""
    if not path:  # later it would mean the current folder
        raise PydanticCustomError("path_empty", "a path, of one character at least")
    on_disk = path.partition("!")[0]  # what follows is sought inside an archive
    longest = max(len(name.encode()) for name in on_disk.split("/"))
    if longest > MAX_NAME_BYTES or len(on_disk.encode()) > MAX_PATH_BYTES:
        raise PydanticCustomError(
            "path_too_long",
            f"a path of at most {MAX_PATH_BYTES} bytes, each name in it of {MAX_NAME_BYTES}",
        )
    return path


def at_home(path: str) -> str:
    """A path of a recipe, with the home folder of whoever reads it in place of a leading `~`.

    In the recipe itself it stays, so that no key and no manifest depends on the user.
    """
    return os.path.expanduser(path)  # pathlib's fails on files that are called so


FilePath = Annotated[str, AfterValidator(_possible)]
"""A path, a glob or the name of a file of the project."""


class Section(BaseModel):
    """A part of a recipe. Unknown keys fail; values are not coerced; instances cannot change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


def section_in(annotation: Any) -> type[Section] | None:
    """The section class in a type annotation, such as `tuple[TaskSection, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = map(section_in, get_args(annotation))
    return next((section for section in found if section), None)
