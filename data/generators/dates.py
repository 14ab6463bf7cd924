"""Generates short questions about days, dates, ages, hours and sums, each with its one answer.

Example record:

    {"id": "dates-000004", "question": "Lena is 34. How old will Lena be in five years?",
     "answer": "39"}

Eight kinds of question come in turn, so each has an equal share. A held-out row asks about a
combination of wording and numbers that no ordinary row has.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

from data.generators import common
from data.generators.common import Row

NUMBERS = common.words("zero one two three four five six seven eight nine ten")
NUM_DAYS_IN_WEEK = 7
DATE_GAPS = (*((number, "day") for number in range(1, 7)), (1, "week"), (2, "week"))

DAY_AFTER = (
    "What day comes {gap} after {day}?",
    "Today is {day}. What day is it in {gap}?",
    "Which day of the week is {gap} after {day}?",
    "{name} leaves on {day} and comes back {gap} later. On what day does {name} come back?",
    "The party is {gap} after {day}. What day is the party?",
)
DAY_BEFORE = (
    "What day comes {gap} before {day}?",
    "Today is {day}. What day was it {gap} ago?",
    "Which day of the week is {gap} before {day}?",
    "{name} arrived {gap} before {day}. On what day did {name} arrive?",
    "The test is on {day}. {name} starts to study {gap} earlier. What day is that?",
)
MONTH_AFTER = (
    "Which month comes {gap} after {month}?",
    "It is {month}. Which month will it be in {gap}?",
    "{name} starts a course in {month}. It ends {gap} later. In which month does it end?",
    "A shop opens {gap} after {month}. In which month does it open?",
)
DATE_AFTER = (
    "What date is {gap} after {month} {day}?",
    "Today is {month} {day}. What date is it in {gap}?",
    "{name} borrows a book on {month} {day} and must return it {gap} later. On what date?",
    "The parcel was sent on {month} {day} and came {gap} later. When did it come?",
)
AGE_LATER = (
    "{name} is {first}. How old will {name} be in {gap}?",
    "{name} is {first} years old today. What age will {name} be in {gap}?",
    "{name} is {first} now. How old is {name} {gap} from now?",
)
AGE_BEFORE = (
    "{name} is {first}. How old was {name} {gap} ago?",
    "{name} is {first} years old today. What age was {name} {gap} ago?",
)
SUM = (
    "What is {first} plus {second}?",
    "How much is {first} + {second}?",
    "Add {first} and {second}.",
    "{name} has {first} {thing} and gets {second} more. How many {thing} does {name} have now?",
    "There are {first} {thing} in one box and {second} in another. How many are there in all?",
)
DIFFERENCE = (
    "What is {first} minus {second}?",
    "How much is {first} - {second}?",
    "Take {second} away from {first}.",
    "{name} has {first} {thing} and gives away {second}. How many {thing} are left?",
    "{first} {thing} were on the table and {name} took {second}. How many are still there?",
)
HOURS = (
    "The {shop} opens at {start} am and closes at {end} pm. How many hours is it open?",
    "The {shop} is open from {start} am to {end} pm. How long is that?",
    "{name} works at the {shop} from {start} am until {end} pm. How many hours is that?",
)
THINGS = common.words(
    """apples books coins stamps cups eggs pencils shells cards plates oranges tickets marbles
    flowers buttons photos lemons keys spoons stones"""
)
SHOPS = common.words(
    """library bakery museum pool bank market school cinema office park zoo gym cafe garage
    pharmacy"""
)


def _gap(number: int, unit: str) -> str:
    """Writes a length of time, as in "one day" or "three days"."""
    return f"{NUMBERS[number]} {unit}" + ("" if number == 1 else "s")


class _Source:
    """The random source and the fragments of one side of the held-out split."""

    def __init__(self, seed: int, heldout: bool) -> None:
        self.rng = common.seeded("dates", seed, heldout)
        self.heldout = heldout
        self.names = common.side(common.FIRST_NAMES, heldout)
        self.things = common.side(THINGS, heldout)
        self.shops = common.side(SHOPS, heldout)

    def draw(self, frames: tuple[str, ...], *ranges: range) -> tuple[str, list[int]]:
        """Draws a wording and one number per range, of a combination that is on this side."""
        while True:
            frame = common.pick(self.rng, frames)
            numbers = [common.pick(self.rng, numbers) for numbers in ranges]
            if common.is_heldout(frame, *numbers) == self.heldout:
                return frame, numbers

    def fill(self, frame: str, **fields: object) -> str:
        """Fills a wording with the given fields, and with a name, a thing and a shop."""
        return frame.format(
            name=common.pick(self.rng, self.names),
            thing=common.pick(self.rng, self.things),
            shop=common.pick(self.rng, self.shops),
            **fields,
        )


def _weekday(source: _Source, frames: tuple[str, ...], sign: int) -> tuple[str, str]:
    frame, (day, num_days) = source.draw(
        frames, range(NUM_DAYS_IN_WEEK), range(1, NUM_DAYS_IN_WEEK)
    )
    answer = common.WEEKDAYS[(day + sign * num_days) % NUM_DAYS_IN_WEEK]
    return source.fill(frame, day=common.WEEKDAYS[day], gap=_gap(num_days, "day")), answer


def _day_after(source: _Source) -> tuple[str, str]:
    return _weekday(source, DAY_AFTER, 1)


def _day_before(source: _Source) -> tuple[str, str]:
    return _weekday(source, DAY_BEFORE, -1)


def _month_after(source: _Source) -> tuple[str, str]:
    frame, (month, num_months) = source.draw(MONTH_AFTER, range(12), range(1, 7))
    question = source.fill(frame, month=common.MONTHS[month], gap=_gap(num_months, "month"))
    return question, common.MONTHS[(month + num_months) % 12]


def _date_after(source: _Source) -> tuple[str, str]:
    # Days stay at 28 or below, so that no answer depends on how long the month is.
    frame, (month, day, gap) = source.draw(
        DATE_AFTER, range(12), range(1, 15), range(len(DATE_GAPS))
    )
    number, unit = DATE_GAPS[gap]
    num_days = number * NUM_DAYS_IN_WEEK if unit == "week" else number
    question = source.fill(frame, month=common.MONTHS[month], day=day, gap=_gap(number, unit))
    return question, f"{common.MONTHS[month]} {day + num_days}"


def _age(source: _Source) -> tuple[str, str]:
    later = source.rng.random() < 0.5
    frame, (age, num_years) = source.draw(
        AGE_LATER if later else AGE_BEFORE, range(15, 70), range(2, 11)
    )
    answer = age + num_years if later else age - num_years
    return source.fill(frame, first=age, gap=_gap(num_years, "year")), str(answer)


def _sum(source: _Source) -> tuple[str, str]:
    frame, (first, second) = source.draw(SUM, range(10, 50), range(10, 50))
    return source.fill(frame, first=first, second=second), str(first + second)


def _difference(source: _Source) -> tuple[str, str]:
    frame, (second, rest) = source.draw(DIFFERENCE, range(10, 50), range(1, 50))
    return source.fill(frame, first=second + rest, second=second), str(rest)


def _hours(source: _Source) -> tuple[str, str]:
    frame, (start, end) = source.draw(HOURS, range(6, 12), range(1, 10))
    return source.fill(frame, start=start, end=end), f"{12 - start + end} hours"


KINDS: tuple[Callable[[_Source], tuple[str, str]], ...] = (
    _day_after,
    _day_before,
    _month_after,
    _date_after,
    _age,
    _sum,
    _difference,
    _hours,
)


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[Row]:
    """Generates questions, the kinds in turn.

    Args:
        num_rows: How many rows.
        seed: The same seed gives the same rows.
        heldout: Draw from the combinations, names and things that ordinary rows never use.

    Yields:
        Records with `id`, `question` and `answer`.
    """
    source = _Source(seed, heldout)
    kinds = itertools.cycle(KINDS)
    draws = (functools.partial(next(kinds), source) for _ in range(num_rows))
    for index, (question, answer) in enumerate(common.drawn(draws, heldout)):
        yield {"id": f"dates-{index:06d}", "question": question, "answer": answer}


if __name__ == "__main__":
    common.main(generate, "dates")
