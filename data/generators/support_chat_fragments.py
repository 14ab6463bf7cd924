"""Read the hand-written fragments of the support chats, expand their choices and draw their facts.

A fragment is a line of text with choices in brackets and facts in braces; turns are separated
by ` // ` and start with `A:` (agent) or `C:` (customer):

    A: [Sure|Of course], you can stay until {want}. // C: Great, thank you.

A fact is drawn from a specification such as `time 13 16`, `int 101 640`, `money 10 40`,
`pick a blue scarf | a black umbrella`, `day`, `date 2 14`, `name` or `code HB-####`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

FRAGMENTS = Path(__file__).parent / "fragments" / "support_chat"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("March", "April", "May", "June", "July", "September", "October", "November")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Case:
    """One scenario of one business with one of its outcomes.

    Attributes:
        business: Name of the business, such as "hotel desk".
        common: The fragments all scenarios of the business share.
        scenario: The scenario's facts, requests, details and summary phrases.
        outcome: What comes of it: `link` ("and" or "but"), `script` and `told`.
    """

    business: str
    common: dict[str, Any]
    scenario: dict[str, Any]
    outcome: dict[str, Any]


@dataclass(frozen=True)
class Book:
    """All fragments: those of every business (`shared`) and the cases to draw from."""

    shared: dict[str, Any]
    cases: list[Case]


@dataclass(frozen=True)
class Setting:
    """What the facts of one chat have in common: currency, month and free first names."""

    unit: str
    month: str
    names: list[str]


def load_book() -> Book:
    """Read the fragment files: `shared.yaml` and one YAML file per business.

    Returns:
        The book; its cases are in the order of the file names.
    """
    # BaseLoader keeps every scalar a string: an outcome may be called "yes" or "off".
    read = {
        path.stem: yaml.load(path.read_text("ascii"), Loader=yaml.BaseLoader)
        for path in FRAGMENTS.glob("*.yaml")
    }
    shared = read.pop("shared")
    cases = [
        Case(common["business"], common, scenario, outcome)
        for _, common in sorted(read.items())
        for scenario in common["scenarios"].values()
        for outcome in scenario["outcomes"].values()
    ]
    return Book(shared, cases)


def pick(block: str, rng: Random) -> str:
    """Pick one line of a block and settle its choices, the innermost first.

    Args:
        block: Lines of text, one alternative each.
        rng: Source of chance.

    Returns:
        The line, with its facts still in braces.
    """
    line = rng.choice(block.strip().split("\n")).strip()
    while match := _CHOICE.search(line):
        line = line[: match.start()] + rng.choice(match[1].split("|")) + line[match.end() :]
    return re.sub(r"  +", " ", line)


def _clock(minutes: int) -> str:
    hour, minute = divmod(minutes, 60)
    shown = f"{(hour - 1) % 12 + 1}" + (f":{minute:02d}" if minute else "")
    return f"{shown} {'am' if hour < 12 else 'pm'}"


def _code(pattern: str, rng: Random) -> str:
    drawn = {"#": "123456789", "?": "ABCDEFGHKLMNPRSTVWX"}
    return "".join(rng.choice(drawn.get(letter, letter)) for letter in pattern)


def draw_fact(spec: str, setting: Setting, rng: Random) -> str:
    """Draw one fact.

    Args:
        spec: Specification such as "time 13 16" (hours of the day) or "money 10 40".
        setting: What the facts of the chat have in common.
        rng: Source of chance.

    Returns:
        The fact as it is written, such as "2:30 pm" or "24 pounds".
    """
    kind, _, rest = spec.partition(" ")
    if kind == "pick":
        return rng.choice(rest.split("|")).strip()
    if kind == "code":
        return _code(rest, rng)
    if kind in ("day", "name"):
        return rng.choice(DAYS if kind == "day" else setting.names)
    low, high = (int(bound) for bound in rest.split())
    if kind == "date":
        return f"{rng.randint(low, high)} {setting.month}"
    if kind == "time":
        step = rng.choice((60, 60, 30, 15))
        return _clock(rng.randrange(low * 60, high * 60 + 1, step))
    number = rng.randint(low, high)
    if kind == "int":
        return str(number)
    assert kind == "money", f"unknown specification: {spec}"
    cents = rng.choice(("", "", "", ".50", ".20", ".99")) if high <= 60 else ""
    return f"{number}{cents} {setting.unit}"


def draw_facts(specs: dict[str, str], setting: Setting, rng: Random) -> dict[str, str]:
    """Draw the facts of a chat, no two alike.

    Args:
        specs: Specification by fact.
        setting: What the facts have in common.
        rng: Source of chance.

    Returns:
        Text by fact.
    """
    facts: dict[str, str] = {}
    for key, spec in specs.items():
        while (text := draw_fact(spec, setting, rng)) in facts.values():
            pass
        facts[key] = text
    return facts
