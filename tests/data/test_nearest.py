"""Texts looked up among others by MinHash."""

import pytest

from tasks.data.dedup import nearest

LONG = "the parcel with the red ribbon was sent to the wrong house in Mill Lane on Tuesday morning"


def test_nearest() -> None:
    known = ["something else entirely, of no use here", f"{LONG} early", LONG]
    texts = [LONG.upper() + "!", "no such text is known to anybody", f"{LONG} early"]
    first, second, third = nearest(texts, iter(known), 0.8)
    assert first == (2, 1.0)
    assert second is None
    assert third == (1, 1.0)
    [near] = nearest([f"{LONG} at nine"], known, 0.7)
    assert near is not None and near[0] in (1, 2) and 0.7 <= near[1] < 1


def test_nearest_without_spaces() -> None:
    text = "我昨天在网上买了这个手机用了一天就坏了非常失望以后再也不会来这家店买东西了"
    [near, none] = nearest([f"{text}吧", "😀"], ["😂", text], 0.8)
    assert near is not None and near[0] == 1
    assert none is None


@pytest.mark.parametrize("known", [[], ["other words only, not the ones above"]])
def test_texts_that_are_alike_among_themselves_do_not_count(known: list[str]) -> None:
    assert nearest([LONG, LONG], known, 0.8) == [None, None]
