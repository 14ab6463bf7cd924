import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.prompts.denoising import MAX_SENTINELS, beginning, corrupted, ending, removed
from tasks.prompts.sandbox import RenderError, render_text

SENTINEL = re.compile(r"<extra_id_(\d+)>")
TEXTS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=2, max_size=400).map(" ".join)
RATES = st.floats(0.05, 0.9)
SPANS = st.floats(1, 60)


def restored(masked: str, spans: str) -> str:
    """The text that a corrupted one and its removed spans are of."""
    _, *pieces = SENTINEL.split(spans)
    by_number = dict(zip(pieces[::2], pieces[1::2], strict=True))
    return SENTINEL.sub(lambda match: by_number[match[1]].strip(), masked)


@given(TEXTS, RATES, SPANS)
def test_the_two_halves_of_an_example_make_the_text(text: str, rate: float, span: float) -> None:
    masked, spans = corrupted(text, rate, span), removed(text, rate, span)
    assert restored(masked, spans) == text
    numbers = [int(number) for number in SENTINEL.findall(masked)]
    assert numbers == list(range(len(numbers))) == [int(n) for n in SENTINEL.findall(spans)]
    assert 1 <= len(numbers) <= MAX_SENTINELS
    assert not re.search(r"<extra_id_\d+> <extra_id", masked)


@pytest.mark.parametrize(("rate", "span"), [(0.15, 3), (0.5, 3), (0.5, 8), (0.15, 8)])
def test_rate_and_span_are_what_they_say(rate: float, span: float) -> None:
    text = " ".join(str(number) for number in range(100))
    spans = SENTINEL.split(removed(text, rate, span))[2::2]
    num_removed = sum(len(piece.split()) for piece in spans)
    assert num_removed == round(100 * rate)
    assert len(spans) == round(num_removed / span)


def test_every_place_of_a_text_is_removed_now_and_then() -> None:
    texts = [" ".join(f"{number}-{place}" for place in range(10)) for number in range(300)]
    gone = [removed(text, 0.2, 1) for text in texts]
    places = {int(place) for spans in gone for place in re.findall(r"-(\d)", spans)}
    assert places == set(range(10))


@given(TEXTS, st.floats(0.01, 0.99))
def test_beginning_and_ending_make_the_text(text: str, share: float) -> None:
    assert f"{beginning(text, share)} {ending(text, share)}".strip() == text
    assert beginning(text, share)


def test_a_single_word_is_removed() -> None:
    assert (corrupted("one", 0.5, 3), removed("one", 0.5, 3)) == (
        "<extra_id_0>",
        "<extra_id_0> one",
    )


@pytest.mark.parametrize(
    "template",
    [
        "{{ text | corrupted(rate=0, span=3) }}",
        "{{ text | corrupted(rate=0.2, span=0.5) }}",
        "{{ text | corrupted(rate=1.5, span=3) }}",
        "{{ text | beginning(share=1) }}",
    ],
)
def test_what_makes_no_sense_is_refused(template: str) -> None:
    with pytest.raises(RenderError):
        render_text(template, {"text": "one two three four"})
