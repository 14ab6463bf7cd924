import pytest

from tasks.data.turns import Turn, alternating, as_lines, as_text, parted, turns_of, without_oldest

RULES, HI, HELLO, ASKED = (
    Turn("system", "Be brief."),
    Turn("user", "Hi"),
    Turn("assistant", "Hello\n\nthere"),
    Turn("user", "Capital of Norway?"),
)
TALK = [RULES, HI, HELLO, ASKED]


@pytest.mark.parametrize("turns", [[HI], [RULES, HI], TALK, [HELLO, HI], [HI, ASKED]])
def test_turns_come_out_of_the_text_as_they_went_in(turns: list[Turn]) -> None:
    assert turns_of(as_text(turns)) == turns
    before, asked = parted(as_text(turns))
    assert (before + asked, asked) == (as_text(turns), turns[-1].content)


@pytest.mark.parametrize(
    "text",
    [
        "Hi",
        "What does <|user|> mean?",
        "What does this mean?\n<|user|>\nHi",
        "<|user|> Hi",
        "<|user|>\nHi\n<|assistant|>\nHello",
    ],
)
def test_any_other_text_is_what_the_user_says(text: str) -> None:
    assert turns_of(text) == [Turn("user", text)]
    assert as_lines(text) == text
    assert parted(text) == ("", text)


def test_a_ready_prompt_may_end_where_the_answer_begins() -> None:
    assert turns_of("<|user|>\nHi\n<|assistant|>\n") == [HI]


def test_lines_for_a_model_that_knows_no_turns() -> None:
    assert as_lines(as_text([RULES, HI])) == "Be brief.\nHi"
    assert as_lines(as_text(TALK)) == (
        "Be brief.\nUser: Hi\nAssistant: Hello\n\nthere\nUser: Capital of Norway?"
    )


def test_the_oldest_turns_go_first_and_the_systems_stay() -> None:
    shorter = without_oldest(as_text(TALK))
    assert shorter is not None and turns_of(shorter) == [RULES, ASKED]
    assert without_oldest(shorter) is None
    assert without_oldest("Hi") is None


def test_sides_in_turn() -> None:
    first = Turn("user", "Be brief.\n\nHi\n\nCapital of Norway?")
    assert alternating([RULES, HI, ASKED, HELLO]) == [first, HELLO]
