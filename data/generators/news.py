"""Small news items from invented towns, each with a headline and a summary of one sentence.

    {"id": "news-0-2",
     "article": "A goat was in an old well in Marford on Monday, and Rosa Silva found it. ...",
     "headline": "Goat saved in Marford",
     "summary": "Firemen in Marford saved a goat that was in an old well."}

Headline and summary name only what the article tells; which of its facts they pick varies.
"""

import random
import re
from collections.abc import Iterator

from data.generators import fill
from data.generators.common import main, seeded, side
from data.generators.entities import SURNAMES

MAX_WORDS, MIN_WORDS = 90, 30
SHARE_OPTIONAL = 0.55

CONTENT = fill.load("news")
SLOT = re.compile(r"{(\w+)}")


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[dict[str, str]]:
    """Write news items.

    Args:
        num_rows: How many rows.
        seed: Equal seeds give equal rows.
        heldout: Draw from the names, places and things that ordinary rows never use.

    Yields:
        Rows with `id`, `article` (30 to 90 words), `headline` and `summary`.
    """
    rng = seeded("news", seed, heldout)
    prefix = "news-heldout" if heldout else "news"
    done = 0
    while done < num_rows:
        item = _item(rng, heldout)
        if MIN_WORDS <= len(item["article"].split()) <= MAX_WORDS:
            yield {"id": f"{prefix}-{seed}-{done}", **item}
            done += 1


def _item(rng: random.Random, heldout: bool) -> dict[str, str]:
    kind = CONTENT["kinds"][rng.choice(list(CONTENT["kinds"]))]
    slots = _slots(rng, heldout)
    sentences = [rng.choice(kind["lead"])]
    for detail in kind["details"]:
        sentence = rng.choice(detail)
        if not sentence.startswith("?") or rng.random() < SHARE_OPTIONAL:
            sentences.append(sentence.lstrip("?"))
    article = " ".join(fill.fill(sentence, slots) for sentence in sentences)
    return {
        "article": article,
        "headline": _backed(rng, kind["headline"], slots, " ".join(sentences)),
        "summary": _backed(rng, kind["summary"], slots, " ".join(sentences)),
    }


def _backed(rng: random.Random, wordings: list[str], slots: dict[str, str], sentences: str) -> str:
    """Draw a wording that has no slot but those of the article."""
    backed = [wording for wording in wordings if slots_of(wording) <= slots_of(sentences)]
    return fill.fill(rng.choice(backed), slots)


def slots_of(text: str) -> set[str]:
    """The names of the slots of a fragment."""
    return set(SLOT.findall(text))


def _slots(rng: random.Random, heldout: bool) -> dict[str, str]:
    slots = fill.two_of_each(rng, CONTENT["slots"], heldout)
    for name in ("day", "time", "month"):
        slots[name], slots[f"{name}2"] = rng.sample(fill.WORDS["closed"][f"{name}s"], 2)
    for letter, (name, female) in zip("ab", fill.people(rng, 2, heldout), strict=True):
        surname = rng.choice(side(SURNAMES, heldout))
        slots |= fill.pronouns(letter, f"{name} {surname}", female) | {letter: name}
    slots["town"], slots["town2"] = (fill.place_name(rng, heldout) for _ in range(2))
    return slots


if __name__ == "__main__":
    main(generate, "news")
