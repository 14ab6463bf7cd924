"""Generates short questions about days, dates, ages, hours and numbers, each with its one answer.

Example record:

    {"id": "dates-000004", "question": "Today is Monday. What day is tomorrow?",
     "answer": "Tuesday"}

Seven rows in ten need one step (the next month, the number before, a sum up to 20), the others need
counting or carrying; within either part the kinds of question come in turn. A held-out row asks
about a combination of wording and numbers that no ordinary row has.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

from data.generators import common, fill
from data.generators.common import Row

NUMBERS = common.words("zero one two three four five six seven eight nine ten")
DATE_GAPS = (*((number, "day") for number in range(1, 7)), (1, "week"), (2, "week"))
MAX_SMALL = 20
OF_TEN_WITH_MORE_STEPS = (2, 5, 8)

CONTENT = fill.load("dates")
FRAMES: dict[str, list[str]] = CONTENT["one_step"] | CONTENT["more_steps"]


def _gap(number: int, unit: str) -> str:
    """Writes a length of time, as in "one day" or "three days"."""
    return f"{NUMBERS[number]} {unit}" + ("" if number == 1 else "s")


class _Source:
    """The random source and the fragments of one side of the held-out split."""

    def __init__(self, seed: int, heldout: bool) -> None:
        self.rng = common.seeded("dates", seed, heldout)
        self.heldout = heldout
        self.names = common.side(common.FIRST_NAMES, heldout)
        self.things = common.side(CONTENT["things"], heldout)
        self.shops = common.side(CONTENT["shops"], heldout)

    def draw(self, kind: str, *ranges: range) -> tuple[str, list[int]]:
        """Draws a wording and one number per range, of a combination that is on this side."""
        while True:
            frame = common.pick(self.rng, FRAMES[kind])
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


Question = Callable[[_Source], tuple[str, str]]


def _neighbour(
    kind: str, field: str, row: Sequence[str], sign: int, source: _Source
) -> tuple[str, str]:
    """Asks for what comes next to something in a row that begins again at its end."""
    frame, (position,) = source.draw(kind, range(len(row)))
    return source.fill(frame, **{field: row[position]}), row[(position + sign) % len(row)]


def _one_off(kind: str, numbers: range, sign: int, source: _Source) -> tuple[str, str]:
    """Asks for the number next to another one."""
    frame, (number,) = source.draw(kind, numbers)
    return source.fill(frame, first=number), str(number + sign)


def _next_hour(source: _Source) -> tuple[str, str]:
    frame, (hour,) = source.draw("next_hour", range(1, 13))
    return source.fill(frame, first=hour), f"{hour % 12 + 1} o'clock"


def _sum(kind: str, numbers: range, most: int, source: _Source) -> tuple[str, str]:
    while True:
        frame, (first, second) = source.draw(kind, numbers, numbers)
        if first + second <= most:
            return source.fill(frame, first=first, second=second), str(first + second)


def _difference(kind: str, numbers: range, most: int, source: _Source) -> tuple[str, str]:
    while True:
        frame, (second, rest) = source.draw(kind, numbers, range(1, numbers.stop))
        if second + rest <= most:
            return source.fill(frame, first=second + rest, second=second), str(rest)


def _counted(
    kind: str, field: str, row: Sequence[str], unit: str, sign: int, source: _Source
) -> tuple[str, str]:
    """Asks for what comes two to six steps away in a row that begins again at its end."""
    frame, (position, steps) = source.draw(kind, range(len(row)), range(2, 7))
    question = source.fill(frame, **{field: row[position], "gap": _gap(steps, unit)})
    return question, row[(position + sign * steps) % len(row)]


def _date_after(source: _Source) -> tuple[str, str]:
    # Days stay at 28 or below, so that no answer depends on how long the month is.
    frame, (month, day, gap) = source.draw(
        "date_after", range(12), range(1, 15), range(len(DATE_GAPS))
    )
    number, unit = DATE_GAPS[gap]
    num_days = number * len(common.WEEKDAYS) if unit == "week" else number
    question = source.fill(frame, month=common.MONTHS[month], first=day, gap=_gap(number, unit))
    return question, f"{common.MONTHS[month]} {day + num_days}"


def _age(source: _Source) -> tuple[str, str]:
    later = source.rng.random() < 0.5
    kind = "age_later" if later else "age_before"
    frame, (age, num_years) = source.draw(kind, range(15, 70), range(2, 11))
    answer = age + num_years if later else age - num_years
    return source.fill(frame, first=age, gap=_gap(num_years, "year")), str(answer)


def _hours(source: _Source) -> tuple[str, str]:
    frame, (start, end) = source.draw("hours", range(6, 12), range(1, 10))
    return source.fill(frame, first=start, second=end), f"{12 - start + end} hours"


SMALL, LARGE = range(1, MAX_SMALL), range(10, 50)
ONE_STEP: tuple[Question, ...] = (
    functools.partial(_neighbour, "day_next", "day", common.WEEKDAYS, 1),
    functools.partial(_sum, "small_sum", SMALL, MAX_SMALL),
    functools.partial(_neighbour, "day_previous", "day", common.WEEKDAYS, -1),
    functools.partial(_one_off, "number_next", range(1, 100), 1),
    functools.partial(_neighbour, "month_next", "month", common.MONTHS, 1),
    functools.partial(_difference, "small_difference", SMALL, MAX_SMALL),
    functools.partial(_neighbour, "month_previous", "month", common.MONTHS, -1),
    functools.partial(_one_off, "number_previous", range(2, 100), -1),
    functools.partial(_one_off, "birthday", range(3, 90), 1),
    _next_hour,
)
MORE_STEPS: tuple[Question, ...] = (
    functools.partial(_counted, "day_after", "day", common.WEEKDAYS, "day", 1),
    functools.partial(_counted, "day_before", "day", common.WEEKDAYS, "day", -1),
    functools.partial(_counted, "month_after", "month", common.MONTHS, "month", 1),
    _date_after,
    _age,
    functools.partial(_sum, "large_sum", LARGE, 2 * LARGE.stop),
    functools.partial(_difference, "large_difference", LARGE, 2 * LARGE.stop),
    _hours,
)


def generate(num_rows: int, seed: int, heldout: bool) -> Iterator[Row]:
    """Generates questions, seven of ten with one step.

    Args:
        num_rows: How many rows.
        seed: The same seed gives the same rows.
        heldout: Draw from the combinations, names and things that ordinary rows never use.

    Yields:
        Records with `id`, `question` and `answer`.
    """
    source = _Source(seed, heldout)
    one_step, more_steps = itertools.cycle(ONE_STEP), itertools.cycle(MORE_STEPS)
    draws = (
        functools.partial(
            next(more_steps if index % 10 in OF_TEN_WITH_MORE_STEPS else one_step), source
        )
        for index in range(num_rows)
    )
    for index, (question, answer) in enumerate(common.drawn(draws, heldout)):
        yield {"id": f"dates-{index:06d}", "question": question, "answer": answer}


if __name__ == "__main__":
    common.main(generate, "dates")
