"""Splitting, near-duplicates and mixing."""

from collections import Counter

import pytest

from tasks.config import Mixture
from tasks.data.dedup import near_duplicate_clusters
from tasks.data.mixing import draws_per_epoch
from tasks.data.splitting import SIDES, place, place_clusters, shares

IDS = [f"{number:016x}" for number in range(20_000)]


def test_shares_are_met_within_sampling_error() -> None:
    counts = Counter(place(record, 7, 0.1, 0.2) for record in IDS)
    # Three standard errors of a share of 0.2 among 20,000 are 0.0085.
    assert counts["test"] / len(IDS) == pytest.approx(0.2, abs=0.0085)
    assert counts["validation"] / len(IDS) == pytest.approx(0.1, abs=0.0085)


def test_a_record_stays_where_it_is_and_another_seed_moves_it() -> None:
    assert [place(record, 7, 0.1, 0.1) for record in IDS[:5]] == [
        place(record, 7, 0.1, 0.1) for record in IDS[:5]
    ]
    moved = sum(place(record, 7, 0.1, 0.1) != place(record, 8, 0.1, 0.1) for record in IDS)
    assert 0.2 < moved / len(IDS) < 0.5


def test_a_cluster_goes_to_one_side_and_new_rows_never_pull_into_train() -> None:
    assert place_clusters(["train", "test", "validation"], [0, 0, 2]) == [
        "test",
        "test",
        "validation",
    ]
    old = ["train", "test", "train", "validation"]
    for new in SIDES:
        with_new = place_clusters([*old, new], [0, 1, 2, 3, 1])[: len(old)]
        before = place_clusters(old, [0, 1, 2, 3])
        pairs = zip(before, with_new, strict=True)
        assert all(SIDES.index(after) >= SIDES.index(side) for side, after in pairs)


def test_shares_by_label() -> None:
    counts = shares(["good", "bad", None], ["train", "test", "test"])
    assert counts["good"] == {"train": 1, "validation": 0, "test": 0}
    assert counts[""]["test"] == 1


def test_near_duplicates_are_found_and_others_are_not() -> None:
    text = "Anna asks for a late checkout on Sunday because her train leaves in the evening"
    texts = [text, text.upper() + "!", text + " and", "The parcel is lost since last week", ""]
    clusters = near_duplicate_clusters(texts, 0.8)
    assert clusters == [0, 0, 0, 3, 4]


@pytest.mark.parametrize(
    "text",
    [
        "我昨天在网上买了这个手机用了一天就坏了非常失望以后再也不会来这家店买东西了",
        "".join(chr(0x20000 + 7 * number) for number in range(40)),
        "昨日ネットでこのスマホを買いましたが一日で壊れてしまいました",
        "ฉันซื้อโทรศัพท์เครื่องนี้เมื่อวานและมันเสียแล้วผิดหวังมาก",
        "ຂ້ອຍຊື້ໂທລະສັບນີ້ມື້ວານນີ້ແລະມັນເພແລ້ວຜິດຫວັງຫຼາຍ",
        "ខ្ញុំបានទិញទូរស័ព្ទនេះកាលពីម្សិលមិញហើយវាខូចហើយ",
        "ဒီဖုန်းကိုမနေ့ကဝယ်ခဲ့တာပျက်သွားပြီစိတ်ပျက်စရာပါ",
    ],
    ids=["Han", "Han beyond 16 bits", "Kana", "Thai", "Lao", "Khmer", "Myanmar"],
)
def test_near_duplicates_need_no_spaces(text: str) -> None:
    texts = [text, f"A1{text}{text[0]}", text[::-1]]
    assert near_duplicate_clusters(texts, 0.8) == [0, 0, 2]


@pytest.mark.parametrize("threshold", [0.97, 1.0])
def test_the_highest_thresholds(threshold: float) -> None:
    text = " ".join(f"w{number}" for number in range(20))
    texts = [text, f"{text}!", f"{text} and more"]
    assert near_duplicate_clusters(texts, threshold) == [0, 0, 2]


def test_texts_without_words_are_not_alike() -> None:
    assert near_duplicate_clusters(["😀", "😂", "?!", "😀", ""], 0.8) == [0, 1, 2, 0, 4]


def test_what_most_texts_have_makes_them_not_alike() -> None:
    """An instruction, say, that is longer than what it is about."""
    instruction = " ".join(f"w{number}" for number in range(200))
    texts = [f"{instruction} the parcel {number} of Ann is {number * 7}" for number in range(20)]
    assert near_duplicate_clusters([*texts, texts[3] + "!"], 0.8) == [*range(20), 3]
    assert near_duplicate_clusters([instruction] * 20, 0.8) == [0] * 20
    few = near_duplicate_clusters(texts[:10], 0.8)
    assert few == [0] * 10


def test_clusters_chain() -> None:
    words = [f"w{number}" for number in range(60)]
    texts = [" ".join(words[start : start + 50]) for start in (0, 2, 4)]
    assert near_duplicate_clusters(texts, 0.8) == [0, 0, 0]


@pytest.mark.parametrize(
    ("mixture", "expected"),
    [
        (Mixture(), {"big": 9000, "small": 1000}),
        (Mixture(cap=3000), {"big": 3000, "small": 1000}),
        (Mixture(strategy="equal"), {"big": 5000, "small": 5000}),
        (Mixture(strategy="temperature", temperature=2.0), {"big": 7500, "small": 2500}),
        (
            Mixture(strategy="weights", weights={"big": 1.0, "small": 4.0}),
            {"big": 2000, "small": 8000},
        ),
    ],
    ids=["proportional", "cap", "equal", "temperature", "weights"],
)
def test_mixing(mixture: Mixture, expected: dict[str, int]) -> None:
    assert draws_per_epoch({"big": 9000, "small": 1000}, mixture) == expected
