"""What counts as a fact, and which of them are made up or left out."""

import numpy as np
import pytest

from tasks.scoring.facts import facts, supports
from tasks.scoring.faithfulness import fabrication, omission, share


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("nothing to see here", set()),
        ("she calls at 1:30 pm.", {"1:30"}),
        ("At 13:30 or 1.30 p.m., not 1:30 PM", {"1:30"}),
        ("It comes at 1 pm. In the end he pays.", {"1"}),
        ("By 24:00 and 0:15", {"12", "12:15"}),
        ("99:99 is no time", {"99"}),
        ("R-781, PX215862 and #Person1#", {"r781", "px215862", "person1"}),
        ("14kg on the 2nd floor", {"14", "2"}),
        ("1,200.50 euros, 1200.5, 1, 000, 000 or 26,99", {"1200.5", "1000000", "26.99"}),
        ("007 and 3.0", {"7", "3"}),
        ("two or twelve of them, but one is a pronoun", {"2", "12"}),
        ("we saw Anna Lee in New York on Monday", {"anna", "lee", "new", "york", "monday"}),
        ("They met. However, she left. Perhaps Bo stays.", {"bo"}),
        ("Peter asks for help.", {"peter"}),
        ("Customers wait, and other customers go.", set()),
        ("Anna's car, Anna’s house, the Smiths' dog", {"anna", "smiths"}),
        ("I'm sure I'd go, OK? Mr Bean too", {"bean"}),
        ("Mia: Hello Tom", {"mia", "hello", "tom"}),
        ("Zoë and Łukasz from São Paulo", {"zoë", "łukasz", "são", "paulo"}),
        ("U.S. troops", {"u.s"}),
    ],
)
def test_facts(text: str, expected: set[str]) -> None:
    assert facts(text) == expected


def test_a_sentence_starts_with_a_name_only_where_no_text_has_it_in_lower_case() -> None:
    assert facts("Parcel lost.") == {"parcel"}
    assert facts("Parcel lost.", {"parcel"}) == set()
    assert facts("the Parcel is lost.", {"parcel"}) == {"parcel"}


@pytest.mark.parametrize("source", ["at one", "at 1", "at 1 pm", "at 13:00", "One thing"])
def test_the_same_number_in_other_words_supports_it(source: str) -> None:
    assert "1" in supports(source)


def fabricated(completion: str, source: str) -> list[float]:
    statistics = fabrication([completion], [["no matter"]], [source])
    return [*statistics[0].tolist(), float(share(statistics)[0])]


def omitted(completion: str, *references: str) -> list[float]:
    statistics = omission([completion], [list(references)], [""])
    return [*statistics[0].tolist(), float(share(statistics)[0])]


CHAT = "mia: casa verde, mia. Tom: A table for two at 1:30 pm, name is Tom Ford, order R-781."


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("", [0, 0, 0.0]),
        ("A table is wanted.", [0, 0, 0.0]),
        ("Tom Ford asks Mia of Casa Verde for 2 seats at 13:30, order R781.", [0, 8, 0.0]),
        ("Tom asks for 3 seats.", [1, 2, 0.5]),
        ("Peter asks Rome about X-99.", [3, 3, 1.0]),
        ("Tom comes at 2:30 pm.", [1, 2, 0.5]),
    ],
)
def test_fabrication(completion: str, expected: list[float]) -> None:
    assert fabricated(completion, CHAT) == expected


@pytest.mark.parametrize(
    ("completion", "references", "expected"),
    [
        ("", ["Tom pays 5 euros."], [2, 2, 1.0]),
        ("Tom pays five.", ["Tom pays 5 euros."], [0, 2, 0.0]),
        ("tom pays.", ["Tom pays 5 euros."], [1, 2, 0.5]),
        ("Tom pays.", ["they pay"], [0, 0, 0.0]),
        ("Tom pays.", [""], [0, 0, 0.0]),
        ("Tom pays.", ["Bo pays.", "Tom pays 5."], [1, 2, 0.5]),
    ],
)
def test_omission(completion: str, references: list[str], expected: list[float]) -> None:
    assert omitted(completion, *references) == expected


ROOMS = "Rooms 101, 102 and 103 are free, for 20, 000."


@pytest.mark.parametrize(
    ("completion", "made_up"),
    [
        ("rooms 101 and 102", 0),
        ("rooms 102, 103", 0),
        ("rooms 102, 104", 1),
        ("20,000", 0),
        ("20000 and 20, 000", 0),
        ("rooms 105 and 101102", 1),
    ],
)
def test_numbers_in_a_row_are_one_or_several(completion: str, made_up: int) -> None:
    assert fabricated(completion, ROOMS)[0] == made_up
    assert omitted("101 and 102", "101, 102")[0] == 0
    assert omitted("101, 102", "101 and 102")[0] == 0
    # A time and a code are taken first, so they are no part of a list.
    assert supports("at 1:30, 200") == {"at", "1:30", "200"}


def test_the_set_counts_facts_not_examples() -> None:
    statistics = fabrication(["Tom, Bo and Al.", "Zed."], [["-"]] * 2, ["Tom, Bo and Al."] * 2)
    assert share(statistics.sum(axis=0)) == pytest.approx(1 / 4)
    assert share(np.zeros(2)) == 0.0


def test_human_summaries_of_the_corpus_make_nothing_up() -> None:
    import json
    from pathlib import Path

    path = Path(__file__).parents[2] / "data" / "support_chat.jsonl"
    rows = list(map(json.loads, path.read_text(encoding="utf-8").splitlines()))[:300]
    chats, summaries = [row["dialogue"] for row in rows], [row["summary"] for row in rows]
    none = [[""]] * len(rows)
    of_own = share(fabrication(summaries, none, chats).sum(axis=0))
    of_others = share(fabrication(summaries[1:] + summaries[:1], none, chats).sum(axis=0))
    assert of_own < 0.005
    assert of_others > 0.5
