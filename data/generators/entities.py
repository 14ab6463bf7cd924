"""Generates sentences with the named entities that occur in them, in order of appearance.

Example record:

    {"id": "entities-000003", "sentence": "Anna Lee took her dog Charlie to Oslo on Monday.",
     "entities": "person: Anna Lee; pet: Charlie; place: Oslo"}

Types are person, place, organisation and pet; a sentence without any has the completion "none".
The same names serve people and pets, and organisations carry the names of places and families, so
that the words around a name decide its type. A held-out row has only names that no ordinary
row has.
"""

import re
from collections.abc import Iterator
from functools import partial
from itertools import permutations

from data.generators import common
from data.generators.common import Row

SEPARATOR = "; "
NO_ENTITIES = "none"
NONE_EVERY = 10

NAME_STARTS = common.words(
    """Ash Black Brook Clay Copper Dun East Fair Fern Green Hart Hazel Hill Holm Kings Lang Maple
    Marsh Mill North Oak Raven Red Rock Silver Stan Stone Thorn West Whit"""
)
PLACE_ENDS = common.words("bridge bury dale field ford ham mouth port ton ville water wick")
SURNAME_ENDS = common.words("berg by land ley man son stead strom well wood worth")
SURNAMES = common.words(
    """Lee Novak Khan Silva Okafor Jensen Rossi Tanaka Patel Haddad Kowalski Moreau Diaz Schmidt
    Mensah Virtanen Ivanov Nguyen Costa Murphy Brown Cohen Demir Eriksen Fischer Gomez Hughes
    Ito Jones Kaya Lopez Meyer Nasser Olsen Popov Quinn Reyes Singh Turner Vargas Walker Young
    Zhang Abebe Bakker Conti Dubois Evans Farah Garcia"""
)
PET_NAMES = common.words(
    """Biscuit Whiskers Shadow Patches Snowy Tiger Misty Bubbles Cookie Socks Smokey Lucky Peanut
    Mittens Pickles Fluffy Fido Nugget Pumpkin Toffee Muffin Domino Bandit Noodle Waffles"""
)
SHARED_NAMES = common.words(
    """Charlie Max Daisy Molly Rex Ginger Honey Pepper Coco Rusty Scout Sunny Sandy Teddy Ruby Rosie
    Toby Milo Buddy Rocky"""
)
LANDMARKS = common.phrases(
    """Lake Verde; Green Hills; Mount Carver; Long Beach; Old Harbour; Silver Bay; North Point
    White Sands; Red Valley; Stone Creek; Port Amber; Saint Helen; West Haven; Eagle Rock
    Sandy Cove; Lake Marlow; Cedar Falls; Mount Ellis; Fox Island; River Bend"""
)
ORGANISATION_STARTS = common.words(
    """Northwind Bluebird Sunrise Harbour Evergreen Redwood Summit Lighthouse Falcon Golden
    Riverside Crystal Union Apex Meadow Orchid Pioneer Horizon Amber Cobalt Comet Delta Ember
    Granite Juniper Kestrel Lotus Magnet Nova Orbit Pacific Quartz Royal Sapphire Timber
    Vertex Willow Zenith Acorn Beacon"""
)
ORGANISATION_ENDS = common.words(
    """Bank Books Foods Motors Airlines Software Clinic College Energy Films Hotels Insurance
    Museum Media Pharmacy Press Records School Telecom Toys University Farms"""
)
ANIMALS = common.words("dog cat rabbit horse parrot hamster pony kitten puppy goat")
JOBS = common.words("teacher doctor dentist nurse driver lawyer cook farmer painter singer guide")
RELATIONS = common.words("neighbour cousin boss friend teacher doctor partner tenant")
FILLERS = {
    "animal": ANIMALS,
    "job": JOBS,
    "relation": RELATIONS,
    "day": common.WEEKDAYS,
    "month": common.MONTHS,
}

FRAMES = common.phrases(
    """{person} lives in {place}.
    {person} moved from {place} to {place} in {month}.
    {person} works for {organisation} in {place}.
    {person} met {person} in {place} last {day}.
    On {day}, {person} flew to {place}.
    In {month}, {organisation} opened a new office in {place}.
    {organisation} hired {person} in {month}.
    {organisation} bought {organisation} for a large sum.
    My {relation} {person} comes from {place}.
    My {relation} is called {person}.
    Last {day} {person} gave a talk at {organisation}.
    The train to {place} was late again.
    The weather in {place} was cold in {month}.
    We visited {place} and {place} last summer.
    She left {organisation} and now works for {organisation}.
    {person} and {person} got married in {place}.
    {person} sold the car to {person} on {day}.
    Have you ever been to {place}?
    Did {person} call you on {day}?
    The new head of {organisation} is {person}.
    {place} is lovely in {month}.
    {place} is a small town near {place}.
    He studied in {place} before he joined {organisation}.
    Yesterday {person} left for {place}.
    Our {job} {person} will retire in {month}.
    The story was written by {person}.
    The shop in {place} belongs to {organisation}.
    Nobody at {organisation} knew {person}.
    {person}, a {job} from {place}, won the prize.
    Every {day} {person} drives to {place}.
    We asked {organisation} for help.
    The letter from {organisation} came on {day}.
    {organisation} said on {day} that {person} would leave.
    {organisation} closed its shop in {place}.
    {person} has an interview at {organisation} on {day}.
    Please send the keys to {person}.
    The bus goes from {place} to {place}.
    I took the photo in {place} with {person}.
    {person} is my {relation}.
    {person} is the best {job} in {place}.
    {person} paid the bill and called a taxi.
    {person} wrote a letter to {organisation}.
    {pet} is my {animal}.
    {pet} is our old {animal}.
    My {animal} is called {pet}.
    My {animal} {pet} sleeps all day.
    {person} walks the {animal} {pet} every morning.
    {pet}, the {animal} of my {relation}, ran away on {day}.
    {person} took the {animal} {pet} to {place}.
    We found our {animal} {pet} in {place}.
    The vet looked at the paw of {pet}.
    {pet} barked at {person} all night.
    {pet} chased a mouse through the garden.
    {pet} wagged its tail when {person} came home.
    {person} feeds {pet} twice a day.
    {person} bought a {animal} and named it {pet}.
    The {animal} {pet} belongs to {person}.
    {pet} purred on the lap of {person}.
    {pet} and {pet} are two cats from {place}.
    On {day} {person} took {pet} to the vet.
    {person} adopted {pet} from {organisation}.
    In {month} {pet} had three kittens.
    {person} forgot to buy food for the {animal} {pet}.
    Our {animal} {pet} is afraid of {person}.
    {person}'s {animal} is called {pet}.
    The {animal} ran to {person}'s house in {place}.
    {person} is my boss and {pet} is my {animal}.
    {pet} is my {animal} and {person} is my {relation}.
    {person} is a {job}, but {pet} is a {animal}.
    My {relation} is called {person} and my {animal} is called {pet}.
    Our {animal} {pet} likes our {relation} {person}."""
)
NONE_FRAMES = common.phrases(
    """The meeting is on {day}.
    We go on holiday in {month}.
    On {day} the shop closes early.
    My {relation} has a {animal}.
    The {animal} slept by the door until {day}.
    In {month} it rained every day.
    The {job} called twice on {day}.
    Nobody was at home last {day}.
    It was a long winter, and the snow stayed until {month}.
    The {job} moved to a new house in {month}.
    Please feed the {animal} before you leave on {day}.
    Both banks are closed on {day}.
    A {job} must be patient.
    The school starts again in {month}.
    They sold the old {animal} in {month}.
    Every {day} my {relation} takes the bus to work.
    The {job} and the {animal} walked along the river.
    My {animal} hates the rain in {month}."""
)
ORGANISATION_FRAMES = (
    *("{place} {end}", "Bank of {place}", "{surname} and Sons"),
    *("{surname} {end}", "{surname} and {other}"),
)
SLOT = re.compile(r"{(\w+)}")
TYPES = ("person", "place", "organisation", "pet")
SHARE_COMPOSED = 0.6
SHARE_SURNAME = 0.5
SHARE_SHARED_PERSON = 0.15


def _composed(starts: tuple[str, ...], ends: tuple[str, ...], heldout: bool) -> tuple[str, ...]:
    """Makes every invented name of one start and one end that is on the given side."""
    names = (start + end for start in starts for end in ends)
    return tuple(name for name in names if common.is_heldout(name) == heldout)


class _Names:
    """The names on one side of the held-out split, and the random source that draws them."""

    def __init__(self, seed: int, heldout: bool) -> None:
        self.rng = common.seeded("entities", seed, heldout)
        self.heldout = heldout
        self.first = common.side(common.FIRST_NAMES, heldout)
        self.pets = common.side(PET_NAMES, heldout)
        self.shared = common.side(SHARED_NAMES, heldout)
        self.surnames = common.side(SURNAMES, heldout)
        self.places = common.side(common.CITIES + LANDMARKS, heldout)
        self.organisations = _composed(
            ORGANISATION_STARTS, tuple(f" {end}" for end in ORGANISATION_ENDS), heldout
        )
        self.composed_surnames = _composed(NAME_STARTS, SURNAME_ENDS, heldout)
        self.composed_places = _composed(NAME_STARTS, PLACE_ENDS, heldout)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def surname(self) -> str:
        composed = self.chance(SHARE_COMPOSED)
        return common.pick(self.rng, self.composed_surnames if composed else self.surnames)

    def person(self) -> str:
        shared = self.chance(SHARE_SHARED_PERSON)
        first = common.pick(self.rng, self.shared if shared else self.first)
        return f"{first} {self.surname()}" if self.chance(SHARE_SURNAME) else first

    def pet(self) -> str:
        return common.pick(self.rng, common.pick(self.rng, (self.shared, self.first, self.pets)))

    def place(self) -> str:
        composed = self.chance(SHARE_COMPOSED)
        return common.pick(self.rng, self.composed_places if composed else self.places)

    def organisation(self) -> str:
        if self.chance(SHARE_COMPOSED):
            return common.pick(self.rng, self.organisations)
        return common.pick(self.rng, ORGANISATION_FRAMES).format(
            place=self.place(),
            surname=self.surname(),
            other=common.pick(self.rng, self.surnames),
            end=common.pick(self.rng, ORGANISATION_ENDS),
        )

    def fill(self, slot: str) -> str:
        """Draws the text of one slot."""
        if slot in FILLERS:
            return common.pick(self.rng, FILLERS[slot])
        draws = {
            "person": self.person,
            "place": self.place,
            "organisation": self.organisation,
            "pet": self.pet,
        }
        return draws[slot]()


def _filled(names: _Names, frame: str) -> tuple[str, str]:
    """Fills one frame, no name inside another, and lists its entities in order of appearance."""
    while True:
        slots = [(slot, names.fill(slot)) for slot in SLOT.findall(frame)]
        texts = [text for _, text in slots]
        if not any(text in other for text, other in permutations(texts, 2)):
            break
    entities = [f"{slot}: {text}" for slot, text in slots if slot in TYPES]
    return SLOT.sub("{}", frame).format(*texts), SEPARATOR.join(entities)


def _named(names: _Names) -> tuple[str, str]:
    """Draws a sentence with at least one name, and its entities."""
    return _filled(names, common.pick(names.rng, FRAMES))


def _nameless(names: _Names) -> tuple[str, str]:
    """Draws a sentence without a name; the whole of it decides the side, where no name can."""
    while True:
        sentence, _ = _filled(names, common.pick(names.rng, NONE_FRAMES))
        if common.is_heldout(sentence) == names.heldout:
            return sentence, NO_ENTITIES


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[Row]:
    """Generates sentences with their named entities; every tenth has none.

    Args:
        num_rows: How many rows.
        seed: The same seed gives the same rows.
        heldout: Draw from the names that ordinary rows never use.

    Yields:
        Records with `id`, `sentence` and `entities`, the last as "person: Anna; place: Oslo".
    """
    names = _Names(seed, heldout)
    draws = (
        partial(_nameless if index % NONE_EVERY == NONE_EVERY - 1 else _named, names)
        for index in range(num_rows)
    )
    for index, (sentence, entities) in enumerate(common.drawn(draws, heldout)):
        yield {"id": f"entities-{index:06d}", "sentence": sentence, "entities": entities}


if __name__ == "__main__":
    common.main(generate, "entities")
