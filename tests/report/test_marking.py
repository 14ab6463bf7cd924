"""Facts that an answer made up are found where they stand."""

import pytest

from tasks.report.marking import marked


@pytest.mark.parametrize(
    ("text", "source", "made_up"),
    [
        ("Mia pays 5 euros.", "Mia: I pay 4 euros.", ["5"]),
        ("Mia pays Will, at 4 pm.", "Mia: I pay at 4.", ["Will"]),
        ("Casa Verde took R-781 and twelve cats.", "casa verde, 12 cats", ["R-781"]),
        ("It is 1,200.50 by 13:30", "It is 1200.5 at 1:30 pm", []),
        ("Bo asks. Bo leaves.", "Ana asks.", ["Bo", "Bo"]),
        ("rooms 101, 102", "rooms 101 and 102", []),
        ("rooms 101, 104", "rooms 101 and 102", ["101, 104"]),
        ("", "anything", []),
        ("nothing but words", "", []),
    ],
)
def test_marked(text: str, source: str, made_up: list[str]) -> None:
    pieces = marked(text, source)
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.text for piece in pieces if piece.made_up] == made_up
