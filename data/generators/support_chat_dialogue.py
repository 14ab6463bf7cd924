"""Compose the dialogue of a support chat, beat by beat.

Agent Maya: Front desk, Maya here. How can I help?
Tom: Hello. Can I keep room 212 until 2 pm tomorrow?
Agent Maya: Sure, that is 15 pounds. ...
"""

import re
from dataclasses import dataclass
from random import Random
from typing import Any

from data.generators.support_chat_fragments import (
    MONTHS,
    SLOT,
    Book,
    Case,
    Setting,
    draw_fact,
    draw_facts,
    pick,
)

SLIPPING_KINDS = ("day", "date", "time", "int", "money")


@dataclass(frozen=True)
class Chat:
    """A composed chat.

    Attributes:
        turns: "Label: utterance", 6 to 16 of them once accepted.
        skeleton: The turns before the facts were filled in.
        facts: Text by fact, with the names `A` (agent), `c` (customer) and `C` (in full).
        told: The facts the turns mention.
    """

    turns: list[str]
    skeleton: str
    facts: dict[str, str]
    told: frozenset[str]

    @property
    def dialogue(self) -> str:
        """The turns, one per line."""
        return "\n".join(self.turns)


def sentences(text: str) -> str:
    """Start every sentence of a text with a capital letter."""
    return re.sub(r"(^|[.?!] )([a-z])", lambda match: match[1] + match[2].upper(), text)


def fill(text: str, facts: dict[str, str]) -> str:
    """Put the facts in the place of their braces."""
    return sentences(SLOT.sub(lambda match: facts[match[1]], text))


def _draw_setting(book: Book, rng: Random) -> Setting:
    names = rng.sample(book.shared["first_names"].split(), 4)
    return Setting(rng.choice(book.shared["units"]), rng.choice(MONTHS), names)


def _draw_all_facts(book: Book, case: Case, setting: Setting, rng: Random) -> dict[str, str]:
    """Draw the facts of the case, then who speaks: the last two names of the setting."""
    specs = {**case.common["facts"], **case.scenario["facts"]}
    specs["old_ref"] = specs["ref"]
    free = Setting(setting.unit, setting.month, setting.names[:2])
    facts = draw_facts(specs, free, rng)
    agent, customer = setting.names[2:]
    surname = rng.choice(book.shared["surnames"].split())
    return {
        **facts,
        "unit": setting.unit,
        "A": agent,
        "c": customer,
        "C": f"{customer} {surname}" if rng.random() < 0.35 else customer,
        "ref_name": rng.choice(case.common["ref_names"]),
        "place": rng.choice(case.common["places"]),
        "site": rng.choice(case.common["sites"]),
    }


@dataclass(frozen=True)
class Slip:
    """A fact the customer first states wrongly: its slot, and how both are said when corrected."""

    slot: str
    wrong: str
    right: str


def _draw_slip(
    case: Case, ask: str, facts: dict[str, str], setting: Setting, rng: Random
) -> Slip | None:
    """Choose a fact of the request to get wrong, add it as `wrong`; None where there is none."""
    specs = case.scenario["facts"]
    slots = [s for s in specs if "{" + s + "}" in ask and specs[s].split()[0] in SLIPPING_KINDS]
    if not slots:
        return None
    slot = rng.choice(slots)
    while (wrong := draw_fact(specs[slot], setting, rng)) in facts.values():
        pass
    facts["wrong"] = wrong
    said = case.scenario.get("say", {}).get(slot, "{}")
    return Slip(slot, said.format("{wrong}"), said.format("{" + slot + "}"))


def _correct(fragment: str, slip: Slip) -> str:
    return fragment.replace("{wrong}", slip.wrong).replace("{right}", slip.right)


def _identify(book: Book, case: Case, hello: str, rng: Random) -> str:
    """Draw how the agent finds the customer; who gave a name with the greeting gives it once."""
    while True:
        beat = pick(rng.choice((book.shared["identify"], case.common["identify"])), rng)
        if "{C}" not in hello or "{C}" not in beat:
            return beat


def _middle(book: Book, case: Case, slip: Slip | None, detail: bool, rng: Random) -> list[str]:
    """Draw what lies between the request and the answer: detail, digression, correction."""
    beats = [pick(case.scenario["detail"], rng)] if detail else []
    if rng.random() < 0.25:
        beats.append(pick(rng.choice((book.shared["digress"], case.common["digress"])), rng))
    if slip is not None:
        beats.append(_correct(pick(book.shared["slip_late"], rng), slip))
    return beats


def _beats(
    book: Book, case: Case, facts: dict[str, str], setting: Setting, rng: Random
) -> list[str]:
    """Draw the fragments of a chat in their order, facts still in braces."""
    shared, common = book.shared, case.common
    mood = shared["moods"][rng.choice(sorted(shared["moods"]))]
    temper = shared["tempers"][rng.choice(sorted(shared["tempers"]))]
    ask = "C: " + pick(case.scenario["ask"], rng)
    slip = _draw_slip(case, ask, facts, setting, rng) if rng.random() < 0.3 else None
    if slip is not None:
        ask = ask.replace("{" + slip.slot + "}", "{wrong}")
    beats = [pick(rng.choice((mood["open"], mood["open"], common["open"])), rng)]
    hello = pick(temper["hello"], rng)
    beats += [hello, ask]
    if slip is not None and rng.random() < 0.4:
        beats.append(_correct(pick(shared["slip_early"], rng), slip))
        slip = None
    identified = rng.random() < 0.85
    if identified:
        beats.append(pick(mood["sorry" if "trouble" in case.scenario else "ack"], rng))
        beats.append(_identify(book, case, hello, rng))
    # The agent says something before the customer digresses or corrects the request.
    beats += _middle(book, case, slip, not identified or rng.random() < 0.6, rng)
    if rng.random() < 0.55:
        beats.append(pick(mood["hold"], rng))
    beats.append(pick(case.outcome["script"], rng))
    if rng.random() < 0.3:
        beats.append(pick(shared["any_else"], rng))
    return [*beats, pick(temper["bye_" + case.outcome["link"]], rng), pick(mood["bye"], rng)]


def _merge(beats: list[str]) -> list[tuple[str, str]]:
    """Split beats into turns and join neighbours of the same speaker."""
    turns: list[tuple[str, str]] = []
    for part in " // ".join(beats).split(" // "):
        speaker, _, text = part.strip().partition(":")
        if not text.strip():
            continue
        if turns and turns[-1][0] == speaker:
            turns[-1] = (speaker, f"{turns[-1][1]} {text.strip()}")
        else:
            turns.append((speaker, text.strip()))
    return turns


def _labels(
    shared: dict[str, Any], case: Case, facts: dict[str, str], rng: Random
) -> dict[str, str]:
    roles = {**facts, "agent": rng.choice(case.common["agent_roles"])}
    roles["customer"] = rng.choice(case.common["customer_roles"])
    return {
        "A": fill(pick(shared["agent_labels"], rng), roles),
        "C": fill(pick(shared["customer_labels"], rng), roles),
    }


def compose_dialogue(book: Book, case: Case, rng: Random) -> Chat:
    """Compose one chat.

    Args:
        book: The fragments.
        case: Scenario and outcome to play.
        rng: Source of chance.

    Returns:
        The chat, of any length.
    """
    setting = _draw_setting(book, rng)
    facts = _draw_all_facts(book, case, setting, rng)
    turns = _merge(_beats(book, case, facts, setting, rng))
    labels = _labels(book.shared, case, facts, rng)
    skeleton = "\n".join(f"{speaker}: {text}" for speaker, text in turns)
    lines = [f"{labels[speaker]}: {fill(text, facts)}" for speaker, text in turns]
    dialogue = "\n".join(lines)
    told = set(SLOT.findall(skeleton))
    if facts["C"] not in dialogue:
        facts["C"] = facts["c"]
    told |= {key for key in ("A", "c", "C") if re.search(rf"\b{facts[key]}\b", dialogue)}
    return Chat(lines, skeleton, facts, frozenset(told))
