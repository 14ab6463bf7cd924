"""Finds in an answer the facts that its source does not have, to mark them.

marked("Mia pays 5 euros.", "Mia: I pay 4 euros.")
-> [Piece("Mia pays ", False), Piece("5", True), Piece(" euros.", False)]
"""

import re
from dataclasses import dataclass

from tasks.scoring.facts import (
    CODE,
    NUMBER,
    TIME,
    WORD,
    facts,
    supports,
    unsupported,
    words_in_lower_case,
)

WITHIN = re.compile("|".join(rule.pattern for rule in (TIME, CODE, NUMBER, WORD)), re.IGNORECASE)
"""Whatever may be a fact, as `tasks.scoring.facts` has them."""


@dataclass(frozen=True)
class Piece:
    """A part of a text, and whether it is a fact that was made up."""

    text: str
    made_up: bool


def marked(text: str, source: str) -> list[Piece]:
    """Cut a text where a made-up fact begins or ends; the pieces together are the text.

    Args:
        text: An answer.
        source: What it was made from.
    """
    stated = facts(text, words_in_lower_case(source))
    made_up = unsupported(stated, text, supports(source))
    pieces, end = [], 0
    for match in WITHIN.finditer(text):
        # After another word: at the start of a sentence, a name could be taken for a common word.
        if facts(f"and {match.group()}") & made_up:
            pieces += [Piece(text[end : match.start()], False), Piece(match.group(), True)]
            end = match.end()
    pieces.append(Piece(text[end:], False))
    return [piece for piece in pieces if piece.text]
