"""Ready-made splits: what a source calls them, and which side of the split they are.

side_of("dev", {})                               -> "validation"
side_of("dev", {"train": "train", "dev": "test"})  -> "test"
"""

from collections.abc import Mapping

_SIDES = {
    "train": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "training": "train",
    "testing": "test",
}

NAMES = ", ".join(_SIDES)
"""What a source may call its splits where the recipe does not say what they are."""


def side_of(name: str, splits: Mapping[str, str]) -> str | None:
    """The side of the split that a ready-made split is; None where that is not known.

    Args:
        name: What the source calls it.
        splits: `source.splits` of the recipe; by the name when empty.
    """
    return splits.get(name) if splits else _SIDES.get(name.lower())


def without(side: str) -> str:
    """How a recipe does without a ready-made validation or test split that cannot be used."""
    aside = f"set a part of train aside for {side}: source.splits: {{train: train, "
    if side == "validation":
        ways = f"{aside}test: test}}"
    else:
        ways = f"{aside}validation: validation}}, or test on the split validation and set a part "
        ways += "of train aside for validation: {train: train, validation: test}"
    return f"{ways}. Where it is a file, leave out source.{side}. Or mend its rows"
