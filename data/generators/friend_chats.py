r"""Chats between friends with a summary, for the base model to grow up on.

{"id": "friend-0-7",
 "dialogue": "Mia: Hi Tom! Shall we cook soup together?\nTom: When?\nMia: Friday at six. ...",
 "summary": "Mia and Tom will cook soup on Friday at six. Tom will bring onions."}
"""

import random
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from data.generators import fill
from data.generators.common import main, seeded

MAX_TURNS, MIN_TURNS = 14, 4
MAX_WORDS, MIN_WORDS = 120, 35
MAX_SUMMARY_WORDS, MIN_SUMMARY_WORDS = 30, 8
HE_VERBS = {"have": "has", "am": "is"}

Slots = dict[str, str]


class Turn(NamedTuple):
    """One utterance and who says it: "A", "B" or "C"."""

    speaker: str
    text: str


Segment = list[Turn]  # turns that belong together, never torn apart by small talk

FRAMES = fill.load("chat_frames")
PLANS = fill.load("chat_plans")
TOPICS = fill.load("chat_topics") | fill.load("chat_topics2")


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[dict[str, str]]:
    """Write chats of friends about plans, problems, news and choices.

    Args:
        num_rows: How many rows.
        seed: Equal seeds give equal rows.
        heldout: Draw from the names, things and places that ordinary rows never use.

    Yields:
        Rows with `id`, `dialogue` (4 to 14 lines "Name: utterance") and `summary`.
    """
    rng = seeded("friend_chats", seed, heldout)
    prefix = "friend-heldout" if heldout else "friend"
    done = 0
    while done < num_rows:
        dialogue, summary = _chat(rng, heldout)
        if _fits(dialogue, summary):
            yield {"id": f"{prefix}-{seed}-{done}", "dialogue": dialogue, "summary": summary}
            done += 1


def _fits(dialogue: str, summary: str) -> bool:
    return (
        MIN_TURNS <= dialogue.count("\n") + 1 <= MAX_TURNS
        and MIN_WORDS <= len(dialogue.split()) <= MAX_WORDS
        and MIN_SUMMARY_WORDS <= len(summary.split()) <= MAX_SUMMARY_WORDS
    )


def _chat(rng: random.Random, heldout: bool) -> tuple[str, str]:
    slots = _cast(rng, heldout) | _calendar(rng) | _reason(rng, heldout)
    third = rng.random() < 0.25
    if rng.random() < 0.45:
        topic = PLANS[rng.choice(list(PLANS))]
        slots |= _draw(rng, topic["slots"], heldout)
        kind, segments = _plan(rng, topic, slots, third, heldout)
    else:
        topic = TOPICS[rng.choice(list(TOPICS))]
        slots |= _draw(rng, topic["slots"], heldout)
        outcome = rng.choice(topic["outcomes"])
        kind = outcome["kind"]
        segments = [_beats(rng, topic["open"] + outcome["beats"])]
        slots |= _told(outcome, slots)
    summary = fill.fill(rng.choice(FRAMES["frames"][kind]), slots)
    segments = _with_greeting(
        rng, _with_small_talk(rng, segments, third and kind not in ("plan", "bring"))
    )
    segments += [_goodbye(rng, kind)]
    return _write([turn for segment in segments for turn in segment], slots), summary


def _cast(rng: random.Random, heldout: bool) -> Slots:
    cast: Slots = {}
    for letter, (name, female) in zip("abc", fill.people(rng, 3, heldout), strict=True):
        cast |= fill.pronouns(letter, name, female)
    return cast


def _calendar(rng: random.Random) -> Slots:
    closed = fill.WORDS["closed"]
    (dayn, dayn2), (time, time2) = rng.sample(closed["days"], 2), rng.sample(closed["times"], 2)
    day = f"on {dayn}"
    if rng.random() < 0.15:
        day = dayn = "tomorrow"
    return {
        "day": day,
        "dayn": dayn,
        "day2": f"on {dayn2}",
        "dayn2": dayn2,
        "time": time,
        "time2": time2,
        "when": f"{day} at {time}",
    }


def _reason(rng: random.Random, heldout: bool) -> Slots:
    said, told = rng.choice(fill.part(FRAMES["reasons"], heldout))
    return {"reason_say": said, "reason": told}


def _draw(rng: random.Random, lists: dict[str, Any], heldout: bool) -> Slots:
    """Draw a value for every slot of a topic; `{other: name}` differs from slot `name`."""
    drawn: Slots = {}
    pools: dict[str, list[str]] = {}
    for slot, values in lists.items():
        if "other" in values:
            pool = pools[values["other"]]
            drawn[slot] = rng.choice([value for value in pool if value != drawn[values["other"]]])
            continue
        pools[slot] = _pool(values, heldout)
        drawn[slot] = rng.choice(pools[slot])
    return drawn


def _pool(values: Any, heldout: bool) -> list[str]:
    if "closed" in values:
        return list(fill.WORDS["closed"][values["closed"]])
    if "list" in values:
        return fill.part(fill.WORDS[values["list"]], heldout)
    return fill.part(values, heldout)


def _told(outcome: dict[str, Any], slots: Slots) -> Slots:
    """The summary's fields of an outcome, with what "I" said retold in the third person."""
    told = {key: value for key, value in outcome.items() if isinstance(value, str)}
    for key in ("who", "place"):
        if key in slots:
            told[f"{key}_tell"] = _third_person(slots[key])
    if "news" in slots:
        told["news_tell"] = _third_person(_third_person_verb(slots["news"]))
    return told


def _third_person(text: str) -> str:
    return text.replace("my ", "{a_his} ").replace("our ", "their ")


def _third_person_verb(text: str) -> str:
    verb, _, rest = text.partition(" ")
    return f"{HE_VERBS.get(verb, verb)} {rest}"


@cache
def _parse(beat: str) -> tuple[str, bool, tuple[str, ...]]:
    """`"B?: one | two"` as its speaker, whether it may be left out, and its alternatives."""
    speaker, _, text = beat.partition(" ")
    return speaker[0], "?" in speaker, tuple(fill.alternatives(text))


def _beats(rng: random.Random, beats: list[str]) -> Segment:
    turns = []
    for beat in beats:
        speaker, optional, lines = _parse(beat)
        if not (optional and rng.random() < 0.5):
            turns.append(Turn(speaker, rng.choice(lines)))
    return turns


def _plan(
    rng: random.Random, topic: dict[str, Any], slots: Slots, third: bool, heldout: bool
) -> tuple[str, list[Segment]]:
    """A plan of {A} to do something with {B}; adds what it needs to the slots."""
    kind = rng.choice(("plan", "plan", "bring", "decline", "postpone"))
    slots["do"] = topic["do"]
    slots["who"] = "{A} and {B}"
    opening = _beats(rng, [topic["open"]])
    if kind in ("decline", "postpone"):
        segments = [opening, *_talk(rng, topic, 0.4)]
        refusal = _some(rng, "decline")
        return kind, segments + [refusal if kind == "decline" else refusal + _some(rng, "postpone")]
    segments = [opening + _beats(rng, [FRAMES["accept"]]), *_talk(rng, topic, 0.6)]
    if third:
        slots["who"] = "{A}, {B} and {C}"
        segments.append(_beats(rng, FRAMES["join"]))
    if kind == "plan":
        slots |= _places(rng, topic)
        agreed = [_some(rng, "when"), _some(rng, "where")]
    else:
        slots["thing"], slots["thing2"] = rng.sample(fill.part(topic["thing"], heldout), 2)
        agreed = [_some(rng, "when"), _some(rng, "bring")]
    rng.shuffle(agreed)
    return kind, segments + agreed


def _places(rng: random.Random, topic: dict[str, Any]) -> Slots:
    place, wrong = rng.sample(topic["where"], 2)
    if topic.get("home") and rng.random() < 0.3:
        at_home = {"where_say": "at my place", "where_echo": "at your place"}
        return {**at_home, "where": "at {A}'s place", "where_wrong": wrong}
    return {"where_say": place, "where_echo": place, "where": place, "where_wrong": wrong}


def _some(rng: random.Random, name: str) -> Segment:
    return _beats(rng, rng.choice(FRAMES[name]))


def _talk(rng: random.Random, topic: dict[str, Any], share: float) -> list[Segment]:
    """Some of the topic's questions, each with the answer of the same position."""
    chosen = [talk for talk in topic["talk"] if rng.random() < share]
    return [
        [Turn(speaker, lines[number]) for speaker, _, lines in map(_parse, talk)]
        for talk in chosen
        for number in [rng.randrange(2)]
    ]


def _with_small_talk(rng: random.Random, segments: list[Segment], third: bool) -> list[Segment]:
    """Put up to two exchanges of small talk between segments; {C}, if there, has a part in one."""
    num_exchanges = max(int(third), rng.choice((0, 1, 1, 2)))
    for number, exchange in enumerate(rng.sample(FRAMES["distract"], num_exchanges)):
        pair = ["A", "B"] if number or not third else [rng.choice("AB"), "C"]
        rng.shuffle(pair)
        said = dict(zip("XY", pair, strict=True))
        turns = [turn._replace(speaker=said[turn.speaker]) for turn in _beats(rng, exchange)]
        segments.insert(rng.randint(1, len(segments)), turns)
    return segments


def _with_greeting(rng: random.Random, segments: list[Segment]) -> list[Segment]:
    return [_beats(rng, FRAMES["greet"]), *segments] if rng.random() < 0.6 else segments


def _goodbye(rng: random.Random, kind: str) -> Segment:
    if rng.random() < 0.3:
        return []
    goodbyes = {"plan": "bye", "bring": "bye", "postpone": "bye", "decline": "sad"}
    goodbyes |= {"help": "thanks", "advice": "thanks"}
    return _beats(rng, FRAMES[goodbyes.get(kind, "end")][: rng.randint(1, 2)])


def _write(turns: Segment, slots: Slots) -> str:
    """Join the turns to lines; what one person says in a row becomes one utterance."""
    lines: list[tuple[str, str]] = []
    for speaker, text in turns:
        said = fill.fill(text, slots)
        if lines and lines[-1][0] == speaker:
            said = f"{lines.pop()[1]} {said}"
        lines.append((speaker, said))
    return "\n".join(f"{slots[speaker]}: {said}" for speaker, said in lines)


if __name__ == "__main__":
    main(generate, "friend_chats")
