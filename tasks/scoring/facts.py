"""Facts that a text states, by rules and without a model: numbers, times, codes and names.

"Mia calls Casa Verde about R-781 at 1:30 pm, two days late."
    ->  {"mia", "casa", "verde", "r781", "1:30", "2"}

The rules, in this order; what one takes, the next does not see:

- time: `1:30 pm`, `13:30`, `1 pm` -> `1:30`, `1:30`, `1`, for a chat says "at 1" of what a summary
  has at "13:00";
- code: letters and digits in one word (`R-781`, `#Person1#`) -> without signs, in lower case;
  a number with its unit (`14kg`, `2nd`) is the number;
- number: `1,200.50`, `1200.5`, `12`, `twelve` -> `1200.5`, `1200.5`, `12`, `12`. "One" is a number
  only where it supports another text's: it is a pronoun too often. `20, 000` is `20000`, for people
  write so; as `101, 102` may be two, it supports each, and is supported by them;
- name: a word in capitals (`Mia`, `Casa`, `Monday`, `UK`), of people, places, organisations, days
  alike, without `'s`; at the start of a sentence only if it is no function word and neither text
  has it in lower case.
"""

import re
from collections.abc import Iterator, Set
from functools import cache

UP_TO_TEN = "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"
NUMBER_WORDS = {
    word: str(number) for number, word in enumerate((*UP_TO_TEN, "eleven", "twelve"), start=1)
}
TIME = re.compile(r"\b(\d{1,2})(?:[:.](\d{2}))?\s?([ap])\.?m\b\.?|\b(\d{1,2}):(\d{2})\b", re.I)
CODE = re.compile(r"(?<![\w-])#?(?=[\w-]*\d)(?=[\w-]*[^\W\d_])[^\W_]+(?:-[^\W_]+)*#?(?![\w-])")
WITH_UNIT = re.compile(r"(\d+)[a-z]{1,5}")
NUMBER = re.compile(r"\d{1,3}(?:,\s?\d{3})+(?:\.\d+)?(?!\d)|\d+(?:[.,]\d+)?")
WORD = re.compile(r"[^\W\d_]+(?:['’.-][^\W\d_]+)*")
STARTS = re.compile(r"(?:^|[.!?:;\n\"“”(]|(?<=\s)[-•*])\s*$")
"""What stands before the first word of a sentence, a line, a turn or a quotation."""
ENDINGS = re.compile(r"['’](?:s|re|ll|ve|d|m)?$")
NO_NAMES = {"i", "ok", "okay", "mr", "mrs", "ms", "dr", "miss", "sir", "madam", "am", "pm"}


def unsupported(stated: Set[str], text: str, known: Set[str]) -> set[str]:
    """The facts that another text does not have.

    Args:
        stated: The facts of a text.
        text: The text.
        known: What the other supports.
    """
    listed = _lists(text)
    return {fact for fact in stated - known if not listed.get(fact, {fact}) <= known}


def supports(text: str) -> set[str]:
    """Everything in a text that can support a fact: its facts, and all of its words."""
    words = {_plain(match.group()) for match in WORD.finditer(text)}
    parts = {part for word in words for part in re.split(r"[.'’-]", word)}
    numbers = {NUMBER_WORDS[word] for word in words | parts if word in NUMBER_WORDS}
    return facts(text) | words | parts | numbers.union(*_lists(text).values())


def facts(text: str, lower_case: Set[str] = frozenset()) -> set[str]:
    """The facts that a text states.

    Args:
        text: The text.
        lower_case: Words that another text has in lower case: no names, at the start of a sentence.
    """
    found: set[str] = set()
    for rule in (_times, _codes, _numbers):
        text = rule(text, found)
    return found | set(_names(text, lower_case))


def words_in_lower_case(text: str) -> set[str]:
    """The words that a text has in lower case somewhere."""
    return {word for word in WORD.findall(text) if word.islower()}


def _times(text: str, found: set[str]) -> str:
    def taken(match: re.Match[str]) -> str:
        hour, minutes = match[1] or match[4], match[2] or match[5] or "00"
        if int(hour) > 24 or int(minutes) > 59:
            return match.group()
        on_dial = str(int(hour) % 12 or 12)
        found.add(on_dial if minutes == "00" else f"{on_dial}:{minutes}")
        return " . " if match.group().endswith(".") else " , "  # "at 4 pm. In the end"

    return TIME.sub(taken, text)


def _codes(text: str, found: set[str]) -> str:
    def taken(match: re.Match[str]) -> str:
        word = match.group()
        unit = WITH_UNIT.fullmatch(word)
        if unit:
            return f"{unit[1]} "  # the number is taken next
        if re.fullmatch(r"\d+(?:-[^\W\d_]+)+", word):
            return word  # "3-course": a number and words
        found.add(re.sub(r"\W", "", word).casefold())
        return " , "

    return CODE.sub(taken, text)


def _numbers(text: str, found: set[str]) -> str:
    def taken(match: re.Match[str]) -> str:
        found.add(_number(match.group()))
        return " , "

    for word in re.findall(r"[a-z]+", text.lower()):
        if word in NUMBER_WORDS and word != "one":
            found.add(NUMBER_WORDS[word])
    return NUMBER.sub(taken, text)


def _number(text: str) -> str:
    digits = re.sub(r",\s?(?=\d{3}(?!\d))", "", text).replace(",", ".")
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _lists(text: str) -> dict[str, set[str]]:
    """Numbers that were taken for one with spaces in it: 101102 -> {101, 102}."""
    for rule in (_times, _codes):
        text = rule(text, set())
    fused = [match.group() for match in NUMBER.finditer(text)]
    parts = {one: re.split(r",\s", one) for one in fused}
    return {_number(one): set(map(_number, parts[one])) for one in fused if len(parts[one]) > 1}


def _names(text: str, lower_case: Set[str]) -> Iterator[str]:
    own = words_in_lower_case(text) | lower_case
    for match in WORD.finditer(text):
        word = match.group()
        plain = _plain(word)
        if not word[0].isupper() or plain in NO_NAMES or plain in NUMBER_WORDS:
            continue
        is_start = STARTS.search(text[: match.start()]) is not None
        if not is_start or not (plain in own or plain in _function_words()):
            yield plain


def _plain(word: str) -> str:
    return ENDINGS.sub("", word.casefold())


@cache
def _function_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)
