"""UTF-8 that was read as Latin-1 or Windows-1252: `CafÃ©` for `Café`, `Itâ€™s` for `It’s`.

And texts of which bytes were lost in decoding: `Caf\\ufffd`.

garbled("Un CafÃ© crÃ¨me, s'il vous plaÃ®t.")  -> "Un CafÃ© crÃ¨me, s"
garbled("Un Café crème, s'il vous plaît.")     -> None
"""

import re

_WINDOWS = {
    ord(bytes([byte]).decode("cp1252", errors="ignore") or chr(byte)): byte
    for byte in range(0x80, 0xA0)
}
"""What Windows-1252 has where Latin-1 has control characters -> its byte."""

_ENDS = "…”’»–—\xa0"
"""What may follow a letter with an accent at the end of a word."""

_LATER = {*map(chr, range(0x80, 0xC0)), *map(chr, _WINDOWS)} - set(_ENDS)
_BEGINNING = re.compile(f"[\xc2-\xf4][{re.escape(''.join(sorted(_LATER)))}]")
"""The first two bytes of a character in UTF-8."""

_CERTAIN = re.compile(f"(?:[\xc2\xc3]|\xe2[€\x80])[{re.escape(''.join(sorted(_LATER)))}]")
"""What no language writes: `Ã©`, `Â°`, `â€™`, of most texts in Latin letters the commonest."""

_BESIDE = 10


def garbled(text: str) -> str | None:
    """Some of a text whose UTF-8 was read as another encoding; None where it was not.

    It was where all that is not ASCII is UTF-8 together: in texts of any language there are letters
    with accents that others follow than the rest of a character. A text of which only some was read
    so is found by what no language writes. Some such texts are not found.
    """
    if text.isascii() or not (found := _BEGINNING.search(text)):
        return None
    try:
        text.translate(_WINDOWS).encode("latin-1").decode()
    except UnicodeError:
        found = _CERTAIN.search(text)
    if found is None:
        return None
    return _around(text, found.start(), found.end())


def lossy(text: str) -> str | None:
    """Some of a text that has U+FFFD, which decoders put for what they can't read; else None."""
    place = text.find("\ufffd")
    return None if place < 0 else _around(text, place, place + 1)


def _around(text: str, start: int, end: int) -> str:
    return text[max(0, start - _BESIDE) : end + _BESIDE]
