r"""Short notes and messages about who must do what by when, as a reminder and as a to-do list.

{"id": "notes-0-4",
 "note": "Hi Tom, could you feed the cat by Friday? I will mend my bike tonight. Thanks, Eva",
 "reminder": "Tom must feed the cat by Friday. Eva must mend her bike tonight.",
 "todo": "Tom: feed the cat (by Friday)\nEva: mend her bike (tonight)"}
"""

import random
from collections.abc import Iterator
from typing import Any

from data.generators import fill
from data.generators.common import main, seeded

NUM_TASKS = (1, 1, 1, 2, 2)
SHARE_OF_OPENINGS, SHARE_OF_REASONS, SHARE_OF_CHANGES = 0.4, 0.5, 0.15
WRITER, READER, OTHER = "B", "A", "C"

CONTENT = fill.load("notes")


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[dict[str, str]]:
    """Write notes with one or two things to do.

    Args:
        num_rows: How many rows.
        seed: Equal seeds give equal rows.
        heldout: Draw from the names and things that ordinary rows never use.

    Yields:
        Rows with `id`, `note`, `reminder` (a sentence for each thing to do) and `todo` (a line
        each, "Name: what (when)").
    """
    rng = seeded("notes", seed, heldout)
    prefix = "notes-heldout" if heldout else "notes"
    for number in range(num_rows):
        yield {"id": f"{prefix}-{seed}-{number}", **_note(rng, heldout)}


def _note(rng: random.Random, heldout: bool) -> dict[str, str]:
    slots = fill.two_of_each(rng, CONTENT["slots"], heldout)
    for letter, (name, female) in zip("abc", fill.people(rng, 3, heldout), strict=True):
        slots |= fill.pronouns(letter, name, female)
    said = [rng.choice(CONTENT["greetings"])]
    if rng.random() < SHARE_OF_OPENINGS:
        said.append(rng.choice(CONTENT["openings"]))
    reminders, todos = [], []
    for number, task in enumerate(rng.sample(CONTENT["tasks"], rng.choice(NUM_TASKS))):
        second = WRITER if number == 0 else OTHER
        doer = rng.choice((READER, READER, second) if _possible(task, second) else READER)
        sentences, do, when = _task(rng, task, doer, first=number == 0)
        said += sentences
        told = {"X": f"{{{doer}}}", "told": _third_person(do, doer), "when": when}
        reminders.append(fill.fill("{X} must {told} {when}.", slots | told))
        todos.append(fill.fill("{X}: {told} ({when})", slots | told))
    said.append(rng.choice(CONTENT["endings"]))
    note = fill.fill(" ".join(said), slots)
    return {"note": note, "reminder": " ".join(reminders), "todo": "\n".join(todos)}


def _task(
    rng: random.Random, task: dict[str, Any], doer: str, first: bool
) -> tuple[list[str], str, str]:
    """What the note says of one task, what is to be done, and when."""
    do = rng.choice(_possible(task, doer))
    right, wrong = _times(rng)
    wordings = {READER: "requests" if first else "more_requests", WRITER: "promises"}
    sentence = rng.choice(CONTENT[wordings.get(doer, "others")])
    changed = right != wrong and rng.random() < SHARE_OF_CHANGES
    said = [_put(sentence, do=do, when=wrong if changed else right)]
    if rng.random() < SHARE_OF_REASONS:
        said.append(rng.choice(task["why"]))
    if changed:
        said.append(_put(rng.choice(CONTENT["changes"]), right=right, wrong=wrong))
    return said, do, right


def _possible(task: dict[str, Any], doer: str) -> list[str]:
    """What of a task somebody can do: nobody visits oneself or gives a thing back to oneself."""
    back = "to me" if doer == WRITER else "{C}" if doer == OTHER else None
    return [do for do in task["do"] if back is None or back not in do]


def _times(rng: random.Random) -> tuple[str, str]:
    """One time, and the same with another day or hour where it names one."""
    closed = fill.WORDS["closed"]
    days, hours = rng.sample(closed["days"], 2), rng.sample(closed["times"], 2)
    time = rng.choice(CONTENT["times"])
    right = _put(time, day=days[0], time=hours[0])
    return right, _put(time, day=days[1], time=hours[0] if "{day}" in time else hours[1])


def _put(text: str, **values: str) -> str:
    """Fill some slots of a fragment and leave the others."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _third_person(do: str, doer: str) -> str:
    mine = "{b_his} " if doer == WRITER else "{B}'s "
    yours = "{a_his} " if doer == READER else "{A}'s "
    told = f"{do} ".replace("my ", mine).replace("your ", yours).replace("to me ", "to {B} ")
    return told.strip()


if __name__ == "__main__":
    main(generate, "notes")
