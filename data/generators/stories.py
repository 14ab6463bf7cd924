"""Simple stories with a beginning, a problem and an ending, to learn to read and go on from.

    {"id": "story-0-5", "beginning": "Once there was a shy fox called Ruby. She had a kite.",
     "continuation": "One day the wind took it. ..."}

A story is one of the plots of `fragments/stories.yaml`, told beat by beat, and broken off
somewhere in its first half.
"""

import random
from collections.abc import Iterator

from data.generators import fill
from data.generators.common import main, seeded

MAX_WORDS, MIN_WORDS = 150, 60

CONTENT = fill.load("stories")
KINDS_OF_HERO = ("a little", "a clever", "a young", "a shy", "a happy", "a small", "a kind")


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[dict[str, str]]:
    """Write stories of 60 to 150 words.

    Args:
        num_rows: How many rows.
        seed: Equal seeds give equal rows.
        heldout: Draw from the names and things that ordinary rows never use.

    Yields:
        Rows with `id`, `beginning` and `continuation`.
    """
    rng = seeded("stories", seed, heldout)
    prefix = "story-heldout" if heldout else "story"
    done = 0
    while done < num_rows:
        story = _story(rng, heldout)
        if MIN_WORDS <= sum(len(sentence.split()) for sentence in story) <= MAX_WORDS:
            broken = rng.randint(2, max(2, len(story) // 2))
            yield {
                "id": f"{prefix}-{seed}-{done}",
                "beginning": " ".join(story[:broken]),
                "continuation": " ".join(story[broken:]),
            }
            done += 1


def _story(rng: random.Random, heldout: bool) -> list[str]:
    """The sentences of a story."""
    slots = _slots(rng, heldout)
    plot = CONTENT["plots"][rng.choice(list(CONTENT["plots"]))]
    sentences = []
    for beat in CONTENT["start"] + plot + CONTENT["end"]:
        if not (beat[0].startswith("?") and rng.random() < 0.4):
            sentences.append(fill.fill(rng.choice(beat).lstrip("?"), slots))
    return sentences


def _slots(rng: random.Random, heldout: bool) -> dict[str, str]:
    """Draw the hero, a friend and two different values of every list."""
    (hero, female), (friend, _) = fill.people(rng, 2, heldout)
    slots = {"n": hero, "m": friend}
    slots |= dict(zip(("he", "him", "his"), fill.PRONOUNS[female], strict=True))
    slots |= fill.two_of_each(rng, CONTENT["slots"], heldout)
    species = slots["animal"] if rng.random() < 0.6 else ("girl" if female else "boy")
    slots["who"] = f"{rng.choice(KINDS_OF_HERO)} {species}"
    return slots


if __name__ == "__main__":
    main(generate, "stories")
