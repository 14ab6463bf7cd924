"""Words, also in scripts that write none apart, such as Chinese, Japanese and Thai.

words("Ein Fähnchen!")  ->  ["ein", "fähnchen"]
words("今天很好。")      ->  ["今", "天", "很", "好"]
"""

import re
import string
import sys
import unicodedata
from functools import cache

from tasks.data.dedup import UNSPACED


def spaced(text: str) -> str:
    """A text with spaces around each character, with its marks, of scripts without spaces.

    That is how sacrebleu cuts Chinese ("zh"), and MLQA's evaluation script (Lewis et al., 2020).
    """
    return text if text.isascii() else _unspaced().sub(r" \g<0> ", text)


def words(text: str) -> list[str]:
    """Lower-case runs of letters, their marks, and digits: rouge-score's tokens of an ASCII text.

    Combining marks are the vowels of Hindi, Tamil and Thai; without them other words are the same.
    """
    return _word().findall(spaced(unicodedata.normalize("NFC", text.lower())))


@cache
def punctuation() -> dict[int, None]:
    """What `str.translate` takes all punctuation out by: that of ASCII, and Unicode's."""
    every = map(chr, range(sys.maxunicode + 1))
    signs = (char for char in every if unicodedata.category(char).startswith("P"))
    return dict.fromkeys(map(ord, (*string.punctuation, *signs)))


@cache
def _marks() -> str:
    every = map(chr, range(sys.maxunicode + 1))
    return "".join(char for char in every if unicodedata.category(char).startswith("M"))


@cache
def _unspaced() -> re.Pattern[str]:
    return re.compile(rf"[{UNSPACED}][{_marks()}]*")


@cache
def _word() -> re.Pattern[str]:
    return re.compile(rf"[^\W_](?:[^\W_]|[{_marks()}])*")
