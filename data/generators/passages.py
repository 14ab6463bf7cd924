"""Short passages of invented everyday facts, each with a question whose answer is a span of it.

    {"id": "passage-0-3",
     "passage": "Rosa comes from Marfield. She works as a baker. Her coat is green. ...",
     "question": "What colour is the coat of Rosa?",
     "answer": "green"}

Many passages describe two subjects of one kind, so that the question has to be matched with the
right one. A kind of fact occurs at most once for a subject, and no value occurs twice.
"""

import random
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from data.generators import fill
from data.generators.common import main, seeded, words

MAX_WORDS, MIN_WORDS = 80, 30
SHARE_OF_PAIRS = 0.4

KINDS = fill.load("passages")
NOUNS = words(
    """Rose Star Lion Bell Moon Apple Crown Anchor Owl Swan Oak Falcon Lily River Rabbit Castle
    Silver Candle Maple Raven Violet Thistle Pearl Copper Robin"""
)
ADJECTIVES = words(
    """Red White Old Happy Blue Little Golden Lucky Proud Green Quiet Brave Black Silver Sleepy"""
)
TITLES = {
    "house": "{} House",
    "school": "{} School",
    "shop": "The {} Shop",
    "festival": "the {} Festival",
    "ship": "the {}",
    "team": "the {}s",
    "book": "The {} Tale",
    "machine": "the {} Engine",
    "farm": "{} Farm",
}


class Subject(NamedTuple):
    """What a passage is about: a name and how to refer back to it."""

    name: str
    pronoun: str
    possessive: str


class Statement(NamedTuple):
    """One fact as it is told, asked for and answered."""

    subject: Subject
    say: str
    ask: str
    value: str


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[dict[str, str]]:
    """Write passages with one question each.

    Args:
        num_rows: How many rows.
        seed: Equal seeds give equal rows.
        heldout: Draw from the names and values that ordinary rows never use.

    Yields:
        Rows with `id`, `passage` (30 to 80 words), `question` and `answer`, a span of the passage.
    """
    rng = seeded("passages", seed, heldout)
    prefix = "passage-heldout" if heldout else "passage"
    done = 0
    while done < num_rows:
        passage, question, answer = _passage(rng, heldout)
        if MIN_WORDS <= len(passage.split()) <= MAX_WORDS:
            row = {"passage": passage, "question": question, "answer": answer}
            yield {"id": f"{prefix}-{seed}-{done}", **row}
            done += 1


def _passage(rng: random.Random, heldout: bool) -> tuple[str, str, str]:
    """A passage with question and answer; empty where a value came twice."""
    kind = KINDS[rng.choice(list(KINDS))]
    num_subjects = 2 if rng.random() < SHARE_OF_PAIRS else 1
    statements = [_statements(rng, kind, num_subjects, heldout) for _ in range(num_subjects)]
    values = [said.value for known in statements for said in known]
    values += [known[0].subject.name for known in statements]
    if len(set(values)) < len(values):
        return "", "", ""
    passage = " ".join(_tell(rng, kind, known, heldout) for known in statements)
    asked = rng.choice(rng.choice(statements))
    question = fill.fill(rng.choice(_lines(asked.ask)), {"n": asked.subject.name})
    return passage, question, asked.value


def _statements(
    rng: random.Random, kind: dict[str, Any], num_subjects: int, heldout: bool
) -> list[Statement]:
    """The facts of one subject."""
    subject = _subject(rng, kind["subject"], heldout)
    num_facts = rng.randint(5, 7) if num_subjects == 1 else rng.randint(3, 4)
    facts = rng.sample(list(kind["facts"].values()), num_facts)
    return [
        Statement(subject, fact["say"], fact["ask"], _value(rng, fact["values"], heldout))
        for fact in facts
    ]


def _tell(
    rng: random.Random, kind: dict[str, Any], statements: list[Statement], heldout: bool
) -> str:
    """The sentences about one subject, the first of which names it."""
    subject = statements[0].subject
    slots = {"n": subject.name, "place": fill.place_name(rng, heldout), "his": subject.possessive}
    sentences = [fill.fill(rng.choice(_lines(kind["intro"])), slots)]
    for statement in statements:
        referred = subject.name if rng.random() < 0.2 else subject.pronoun
        said = {**slots, "s": referred, "v": statement.value}
        sentences.append(fill.fill(rng.choice(_lines(statement.say)), said))
    return " ".join(sentences)


@cache
def _lines(text: str) -> tuple[str, ...]:
    return tuple(fill.alternatives(text))


def _subject(rng: random.Random, pool: str, heldout: bool) -> Subject:
    if pool == "person":
        [(name, female)] = fill.people(rng, 1, heldout)
        pronoun, _, possessive = fill.PRONOUNS[female]
        return Subject(name, pronoun, possessive)
    if pool == "team":
        return Subject(_title(rng, pool, heldout), "they", "their")
    name = _title(rng, pool, heldout) if pool in TITLES else _value(rng, pool, heldout)
    return Subject(name, "it", "its")


def _title(rng: random.Random, pool: str, heldout: bool) -> str:
    name = rng.choice(fill.part(NOUNS, heldout))
    if rng.random() < 0.5:
        name = f"{rng.choice(fill.part(ADJECTIVES, heldout))} {name}"
    return TITLES[pool].format(name)


def _value(rng: random.Random, values: Any, heldout: bool) -> str:
    """Draw from a pool by its name, from a range of numbers or from a list."""
    if values == "person":
        return fill.people(rng, 1, heldout)[0][0]
    if values == "place":
        return fill.place_name(rng, heldout)
    if values == "pet":
        return str(rng.choice(fill.part(fill.WORDS["pet_names"], heldout)))
    if isinstance(values, str):
        return str(rng.choice(fill.WORDS["closed"][values]))
    if isinstance(values, dict):
        low, high = values["range"]
        return str(rng.choice(fill.part(range(low, high + 1), heldout)))
    return str(rng.choice(fill.part(values, heldout)))


if __name__ == "__main__":
    main(generate, "passages")
