"""Short sentences in English and German, from a small grammar that is right in both.

    {"id": "translation-0-2", "source_language": "English", "target_language": "German",
     "source": "On Monday the girl bought an apple.",
     "target": "Am Montag hat das Mädchen einen Apfel gekauft."}

Both directions come in turn. German articles agree in gender and case, the verb comes second, and
participles and infinitives last.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from data.generators import fill
from data.generators.common import drawn, is_heldout, main, pick, seeded

CONTENT = fill.load("translation")
THINGS = ("things", "foods", "animals")
THE = {"m": "der", "f": "die", "n": "das"}
THE_OBJECT = THE | {"m": "den"}
AN_OBJECT = {"m": "einen", "f": "eine", "n": "ein"}
NO_OBJECT = {"m": "keinen", "f": "keine", "n": "kein"}
STATES = ("have", "like", "love", "need")
SHARE_NAMED, SHARE_PLACED, SHARE_TIMED = 0.35, 0.3, 0.5


class Pair(NamedTuple):
    """The same words in both languages."""

    english: str
    german: str


NOTHING = Pair("", "")


class Noun(NamedTuple):
    """A noun in both languages, and its German gender: m, f or n."""

    english: str
    german: str
    gender: str


class Verb(NamedTuple):
    """English infinitive, third person and past; German infinitive, third person, participle."""

    do: str
    does: str
    did: str
    infinitive: str
    third: str
    participle: str


class Source:
    """The random source, and the combinations of words on one side of the held-out split."""

    def __init__(self, rng: random.Random, heldout: bool) -> None:
        self.rng, self.heldout = rng, heldout

    def pair(self, *keys: str) -> Pair:
        """An entry of the vocabulary."""
        entries = CONTENT[keys[0]] if len(keys) == 1 else CONTENT[keys[0]][keys[1]]
        english, german = pick(self.rng, entries).split(": ")
        return Pair(english, german)

    def noun(self, kind: str) -> Noun:
        """A noun of a kind, such as an animal."""
        english, german = self.pair(kind)
        return Noun(english, german[2:], german[0])

    def who(self) -> Pair:
        """A person by name, or as "the girl"."""
        if self.rng.random() < SHARE_NAMED:
            [(name, _)] = fill.people(self.rng, 1, self.heldout)
            return Pair(name, name)
        noun = self.noun("people")
        return Pair(f"the {noun.english}", f"{THE[noun.gender]} {noun.german}")

    def doing(self, states: bool = True) -> tuple[Verb, Noun]:
        """What is done to what, on this side; without states, nothing is had, liked or needed."""
        while True:
            kind = pick(self.rng, THINGS)
            verb, noun = Verb(*pick(self.rng, CONTENT["verbs"][kind])), self.noun(kind)
            if (states or verb.do not in STATES) and self.suits(verb.do, noun.english):
                return verb, noun

    def suits(self, *words: str) -> bool:
        """Whether a combination of words is on this side."""
        return is_heldout(*words) == self.heldout

    def what(self, noun: Noun) -> Pair:
        """An object with its article."""
        if self.rng.random() < 0.5:
            return Pair(f"the {noun.english}", f"{THE_OBJECT[noun.gender]} {noun.german}")
        return Pair(f"a {noun.english}", f"{AN_OBJECT[noun.gender]} {noun.german}")

    def where(self) -> Pair:
        """A place with a blank before it, or nothing."""
        if self.rng.random() < SHARE_PLACED:
            return Pair(*(f" {words}" for words in self.pair("places")))
        return NOTHING


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[dict[str, str]]:
    """Write sentences with their translation, from English and from German in turn.

    Args:
        num_rows: How many rows.
        seed: Equal seeds give equal rows.
        heldout: Combine words as no ordinary row does, such as a verb with its object; the words
            themselves are the same, for nobody can translate a word never seen.

    Yields:
        Rows with `id`, `source_language`, `target_language`, `source` and `target`.
    """
    source = Source(seeded("translation", seed, heldout), heldout)
    prefix = "translation-heldout" if heldout else "translation"
    draws = (partial(_sentence, source) for _ in range(num_rows))
    for number, (english, german) in enumerate(drawn(draws, heldout)):
        languages, sides = ["English", "German"], [english, german]
        if number % 2:
            languages.reverse()
            sides.reverse()
        yield {
            "id": f"{prefix}-{seed}-{number}",
            "source_language": languages[0],
            "target_language": languages[1],
            "source": sides[0],
            "target": sides[1],
        }


def _sentence(source: Source) -> Pair:
    english, german = pick(source.rng, SENTENCES)(source)
    return Pair(fill.fill(english, {}), german[0].upper() + german[1:])


def _timed(source: Source, times: str, english: str, who: str, verb: str, rest: str) -> Pair:
    """A statement, half the time with a time before it, after which the German verb comes first."""
    if source.rng.random() >= SHARE_TIMED:
        return Pair(f"{english}.", f"{who} {verb} {rest}.")
    when = source.pair(times)
    return Pair(f"{when.english} {english}.", f"{when.german} {verb} {who} {rest}.")


def _present(source: Source) -> Pair:
    who, (verb, noun), where = source.who(), source.doing(), source.where()
    what = source.what(noun)
    english = f"{who.english} {verb.does} {what.english}{where.english}."
    return Pair(english, f"{who.german} {verb.third} {what.german}{where.german}.")


def _past(source: Source) -> Pair:
    who, (verb, noun), where = source.who(), source.doing(states=False), source.where()
    what = source.what(noun)
    english = f"{who.english} {verb.did} {what.english}{where.english}"
    rest = f"{what.german}{where.german} {verb.participle}"
    return _timed(source, "past_times", english, who.german, "hat", rest)


def _modal(source: Source) -> Pair:
    who, (verb, noun), where = source.who(), source.doing(states=False), source.where()
    what, modal = source.what(noun), source.pair("modals")
    english = f"{who.english} {modal.english} {verb.do} {what.english}{where.english}"
    rest = f"{what.german}{where.german} {verb.infinitive}"
    return _timed(source, "times", english, who.german, modal.german, rest)


def _question(source: Source) -> Pair:
    who, (verb, noun), where = source.who(), source.doing(), source.where()
    what = source.what(noun)
    english = f"does {who.english} {verb.do} {what.english}{where.english}?"
    return Pair(english, f"{verb.third} {who.german} {what.german}{where.german}?")


def _denial(source: Source) -> Pair:
    who, (verb, noun), where = source.who(), source.doing(), source.where()
    english = f"{who.english} does not {verb.do} a {noun.english}{where.english}."
    what = f"{NO_OBJECT[noun.gender]} {noun.german}"
    return Pair(english, f"{who.german} {verb.third} {what}{where.german}.")


def _quality(source: Source) -> Pair:
    while True:
        kind = pick(source.rng, ("people", *THINGS))
        noun, quality = source.noun(kind), source.pair("qualities", kind)
        if source.suits(noun.english, quality.english):
            return _is(
                source,
                Pair(f"the {noun.english}", f"{THE[noun.gender]} {noun.german}"),
                quality,
                Pair("very ", "sehr "),
            )


def _place(source: Source) -> Pair:
    while True:
        who, place = source.who(), source.pair("places")
        if source.suits(who.english, place.english):
            return _is(source, who, place)


def _is(source: Source, who: Pair, what: Pair, very: Pair = NOTHING) -> Pair:
    """Says, denies or asks whether somebody or something is so."""
    forms = (
        (f"{who.english} is {what.english}.", f"{who.german} ist {what.german}."),
        (f"{who.english} is {very[0]}{what.english}.", f"{who.german} ist {very[1]}{what.german}."),
        (f"{who.english} is not {what.english}.", f"{who.german} ist nicht {what.german}."),
        (f"is {who.english} {what.english}?", f"ist {who.german} {what.german}?"),
    )
    return Pair(*pick(source.rng, forms))


SENTENCES: tuple[Callable[[Source], Pair], ...] = (
    _present,
    _past,
    _modal,
    _question,
    _denial,
    _quality,
    _place,
)


if __name__ == "__main__":
    main(generate, "translation")
