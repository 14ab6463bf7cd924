"""UTF-8 that was read as Latin-1 or Windows-1252: `CafÃ©` for `Café`, `Itâ€™s` for `It’s`.

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

_BESIDE = 10


def garbled(text: str) -> str | None:
    """Some of a text whose UTF-8 was read as another encoding; None where it was not.

    It was where all that is not ASCII is UTF-8 together: in texts of any language there are letters
    with accents that others follow than the rest of a character. Some such texts are not found.
    """
    if text.isascii() or not (found := _BEGINNING.search(text)):
        return None
    try:
        text.translate(_WINDOWS).encode("latin-1").decode()
    except UnicodeError:
        return None
    return text[max(0, found.start() - _BESIDE) : found.end() + _BESIDE]
