"""Pairs of sentences: whether they mean the same, and whether one follows from the other.

Example records of `--task paraphrase` and `--task entailment`:

    {"id": "paraphrase-0-0", "first": "Tom gave Eva a lamp on Monday.",
     "second": "On Monday, Eva was given a lamp by Tom.", "same": "yes"}
    {"id": "entailment-0-1", "premise": "Tom gave Eva a lamp on Monday.",
     "hypothesis": "It was on Friday that Eva got a lamp.", "answer": "no"}

A "no" changes one fact or lets two people change places, and uses the wordings of a "yes"; what is
not said of one event is said of another. So the second sentence alone does not tell the answer.
"""

import random
from collections.abc import Iterator
from typing import Any

from data.generators import common, fill
from data.generators.common import Generate, seeded

SHARE_OF_MORE = 0.4
CHANGEABLE = ("few", "price", "day", "time", "month", "job")
YES, NO, NOT_SAID = "yes", "no", "not said"

CONTENT = fill.load("sentence_pairs")
EVENTS: list[dict[str, Any]] = list(CONTENT["events"].values())
Slots = dict[str, str]


def generate_paraphrases(num_rows: int, seed: int, heldout: bool) -> Iterator[dict[str, str]]:
    """Write pairs of sentences of one meaning, and as many that differ in one fact.

    Args:
        num_rows: How many rows.
        seed: Equal seeds give equal rows.
        heldout: Draw from the names and things that ordinary rows never use.

    Yields:
        Rows with `id`, `first`, `second` and `same`, "yes" and "no" in turn.
    """
    rng = seeded("paraphrase", seed, heldout)
    for number in range(num_rows):
        event, slots = rng.choice(EVENTS), _slots(rng, heldout)
        same = number % 2 == 0
        first, second = rng.sample(event["wordings"], 2)
        changed = rng.choice(list(event["claims"]))
        yield {
            "id": _id("paraphrase", seed, number, heldout),
            "first": fill.fill(first, slots),
            "second": fill.fill(second, slots if same else _changed(slots, changed)),
            "same": YES if same else NO,
        }


def generate_entailments(num_rows: int, seed: int, heldout: bool) -> Iterator[dict[str, str]]:
    """Write premises with a claim that is true, false or left open.

    Args:
        num_rows: How many rows.
        seed: Equal seeds give equal rows.
        heldout: Draw from the names and things that ordinary rows never use.

    Yields:
        Rows with `id`, `premise`, `hypothesis` and `answer`: "yes", "no" and "not said" in turn.
    """
    rng = seeded("entailment", seed, heldout)
    for number in range(num_rows):
        event, slots = rng.choice(EVENTS), _slots(rng, heldout)
        answer = (YES, NO, NOT_SAID)[number % 3]
        fact, claim, more = _claim(rng, event, answer)
        premise = f"{rng.choice(event['wordings'])} {more}".strip()
        yield {
            "id": _id("entailment", seed, number, heldout),
            "premise": fill.fill(premise, slots),
            "hypothesis": fill.fill(claim, _changed(slots, fact) if answer == NO else slots),
            "answer": answer,
        }


def _claim(rng: random.Random, event: dict[str, Any], answer: str) -> tuple[str, str, str]:
    """A fact to change for a "no", a claim, and a further sentence of the premise, or none.

    A claim that the event leaves open is true or false where the further sentence makes it.
    """
    open_claim, more = rng.sample(event["silent"], 2)
    if answer == NOT_SAID:
        return "", open_claim, more if rng.random() < SHARE_OF_MORE else ""
    if rng.random() < SHARE_OF_MORE:
        facts = [fact for fact in CHANGEABLE if f"{{{fact}}}" in more]
        if answer == YES or facts:
            return rng.choice(facts or [""]), more, more
    fact = rng.choice(list(event["claims"]))
    return fact, rng.choice(event["claims"][fact]), ""


def _id(task: str, seed: int, number: int, heldout: bool) -> str:
    return f"{task}-heldout-{seed}-{number}" if heldout else f"{task}-{seed}-{number}"


def _slots(rng: random.Random, heldout: bool) -> Slots:
    slots = fill.two_of_each(rng, CONTENT["slots"], heldout)
    for name in ("day", "time", "month"):
        slots[name], slots[f"{name}2"] = rng.sample(fill.WORDS["closed"][f"{name}s"], 2)
    for letter, (name, female) in zip("ab", fill.people(rng, 2, heldout), strict=True):
        slots |= fill.pronouns(letter, name, female)
    return slots


def _changed(slots: Slots, fact: str) -> Slots:
    """The slots with another value of one fact, or with {A} and {B} in each other's place."""
    if fact == "swap":
        return slots | {"A": slots["B"], "B": slots["A"]}
    return slots | {fact: slots[f"{fact}2"]}


TASKS: dict[str, Generate] = {
    "paraphrase": generate_paraphrases,
    "entailment": generate_entailments,
}

if __name__ == "__main__":
    parser = common.parser("sentence_pairs")
    parser.add_argument("--task", choices=TASKS, required=True, help="which pairs to write")
    args = parser.parse_args()
    common.run(TASKS[args.task], args)
