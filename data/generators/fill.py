"""Fragments and slots: what the chat, passage and story generators share.

A fragment is text with slots and alternatives, `"Have you seen my {item}? | Where is my {item}?"`;
filling it with `{"item": "red hat"}` gives "Where is my red hat?".
"""

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from data.generators.common import side, words

T = TypeVar("T")

FRAGMENTS = Path(__file__).parent / "fragments"
PRONOUNS = {True: ("she", "her", "her"), False: ("he", "him", "his")}
SHARE_INVENTED = 0.35  # of the names of people
MIN_SPLIT = 10  # shorter lists are not split: a held-out part of one element would be guessable

PLACE_STARTS = words(
    """Mar Old Stone Green Wind River Fox Ash Elm Brook Sand Hazel Moss Wolf Corn Black Raven Lake
    Thorn Bell Nor West Sun Gold Clay"""
)
PLACE_ENDS = words("""field ton bury dale wick ford ham mouth stead bridge well port""")

# A quotation that ends in `?"` or `!"` goes on in small letters: "Who is it?" asked the fox.
_SENTENCE_START = re.compile(r"(^['\"]?|[.?!] ['\"]?|[.]['\"] ['\"]?)([a-z])")
_ARTICLE = re.compile(r"\b([Aa]) (?=['\"]?[aeiou])(?!one\b|uni|use)")


def load(name: str) -> dict[str, Any]:
    """Read `fragments/<name>.yaml`.

    Args:
        name: File name without its ending.

    Returns:
        The mapping in the file.
    """
    content: dict[str, Any] = yaml.safe_load((FRAGMENTS / f"{name}.yaml").read_text("ascii"))
    return content


def part(items: Sequence[T], heldout: bool) -> list[T]:
    """The part of a list that ordinary or held-out rows may use: every fifth is held out.

    Args:
        items: Any list; one shorter than `MIN_SPLIT` is returned whole.
        heldout: Which of the two parts.

    Returns:
        The elements of that part, in order.
    """
    if len(items) < MIN_SPLIT:
        return list(items)
    return list(side(items, heldout))


def alternatives(text: str) -> list[str]:
    """Split `"one | two"` into its alternatives."""
    return [alternative.strip() for alternative in text.split("|")]


def fill(text: str, slots: Mapping[str, str]) -> str:
    """Fill the slots of a fragment; values may hold slots themselves, two levels deep.

    Args:
        text: A fragment without alternatives.
        slots: A value for every slot.

    Returns:
        The text, with `a` made `an` before a vowel and capitals at sentence starts.
    """
    while "{" in text:
        text = text.format_map(slots)
    text = _ARTICLE.sub(r"\1n ", text)
    return _SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), text)


def pronouns(prefix: str, name: str, female: bool) -> dict[str, str]:
    """The slots of one person.

    Args:
        prefix: One letter, such as `a`.
        name: The person's name.
        female: Whether to say she or he.

    Returns:
        `{"A": name, "a_he": ..., "a_him": ..., "a_his": ...}`.
    """
    keys = (f"{prefix}_he", f"{prefix}_him", f"{prefix}_his")
    return {prefix.upper(): name, **dict(zip(keys, PRONOUNS[female], strict=True))}


def people(rng: random.Random, num: int, heldout: bool) -> list[tuple[str, bool]]:
    """Draw different names, some of them invented.

    Args:
        rng: Source of randomness.
        num: How many.
        heldout: Whether to draw held-out names.

    Returns:
        Pairs of a name and whether it is a woman's.
    """
    drawn: dict[str, bool] = {}
    while len(drawn) < num:
        female = rng.random() < 0.5
        if rng.random() < SHARE_INVENTED:
            start = rng.choice(part(WORDS["name_starts"], heldout))
            name = start + rng.choice(WORDS["girl_endings" if female else "boy_endings"])
        else:
            name = rng.choice(part(WORDS["girls" if female else "boys"], heldout))
        drawn[name] = female
    return list(drawn.items())


def place_name(rng: random.Random, heldout: bool) -> str:
    """Draw the invented name of a town, such as Marford."""
    return rng.choice(part(PLACE_STARTS, heldout)) + rng.choice(PLACE_ENDS)


def two_of_each(
    rng: random.Random, lists: Mapping[str, Sequence[str]], heldout: bool
) -> dict[str, str]:
    """Draw two different values of every list.

    Args:
        rng: Source of randomness.
        lists: Name of a slot to its values.
        heldout: Whether to draw held-out values.

    Returns:
        `{"toy": "kite", "toy2": "drum", ...}`.
    """
    drawn: dict[str, str] = {}
    for name, values in lists.items():
        drawn[name], drawn[f"{name}2"] = map(str, rng.sample(part(values, heldout), 2))
    return drawn


WORDS = load("words")
