"""The committed probe files are what the generators make, balanced, and new to a trained model."""

import calendar
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path

import pytest

from data.generators import dates, entities, reviews
from data.generators.common import Generate, Row, write_jsonl

PROBES = Path(__file__).parents[2] / "data" / "probes"
NUM_PROBE_ROWS = 400
NUM_ORDINARY_ROWS = 20_000
WORD = re.compile(r"[a-z]+")

CORPORA: dict[str, tuple[Generate, str]] = {
    "review_sentiment": (reviews.generate_sentiment, "text"),
    "review_rating": (reviews.generate_rating, "review"),
    "named_entities": (entities.generate, "sentence"),
    "dates": (dates.generate, "question"),
}


def _probe_rows(name: str) -> list[Row]:
    lines = (PROBES / f"{name}.jsonl").read_text(encoding="ascii").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", CORPORA)
def test_the_committed_file_is_made_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    generate, _ = CORPORA[name]
    num_rows = write_jsonl(tmp_path / name, generate(NUM_PROBE_ROWS, 0, True))
    assert num_rows == NUM_PROBE_ROWS
    assert (tmp_path / name).read_bytes() == (PROBES / f"{name}.jsonl").read_bytes()


@pytest.mark.parametrize("name", CORPORA)
def test_ids_and_texts_are_distinct_and_no_field_is_empty(name: str) -> None:
    rows = _probe_rows(name)
    assert len(rows) >= 300
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row[CORPORA[name][1]] for row in rows}) == len(rows)
    assert all(value.strip() == value != "" for row in rows for value in row.values())


@pytest.mark.parametrize("name", CORPORA)
def test_no_probe_text_is_among_the_ordinary_rows(name: str) -> None:
    generate, field = CORPORA[name]
    ordinary = {row[field] for row in generate(NUM_ORDINARY_ROWS, 0, False)}
    assert [row[field] for row in _probe_rows(name) if row[field] in ordinary] == []


@pytest.mark.parametrize(
    ("name", "field", "values"),
    [
        ("review_sentiment", "label", ("positive", "negative")),
        ("review_rating", "stars", ("1", "2", "3", "4", "5")),
    ],
)
def test_labels_are_balanced(name: str, field: str, values: tuple[str, ...]) -> None:
    rows = _probe_rows(name)
    counts = Counter(row[field] for row in rows)
    assert set(counts) == set(values)
    for value in values:
        assert counts[value] == pytest.approx(len(rows) / len(values), rel=0.1)


def test_full_reviews_agree_with_their_stars() -> None:
    rows = list(reviews.generate(1000, 0, False))
    labels = Counter((row["stars"], row["label"]) for row in rows)
    assert labels == {
        ("1", "negative"): 200,
        ("2", "negative"): 200,
        ("3", "negative"): 100,
        ("3", "positive"): 100,
        ("4", "positive"): 200,
        ("5", "positive"): 200,
    }


def _word_odds(rows: Iterable[Row]) -> dict[str, float]:
    """The log odds of each word for positive against negative texts, with one count added."""
    counts: dict[str, Counter[str]] = {"positive": Counter(), "negative": Counter()}
    for row in rows:
        counts[row["label"]].update(set(WORD.findall(row["text"].lower())))
    words = set().union(*counts.values())
    return {
        word: log((counts["positive"][word] + 1) / (counts["negative"][word] + 1)) for word in words
    }


def test_words_tell_the_sentiment_most_of_the_time_and_not_always() -> None:
    odds = _word_odds(reviews.generate_sentiment(NUM_ORDINARY_ROWS, 0, False))
    assert min(odds["friendly"], odds["love"], odds["clean"], odds["wonderful"]) > log(2)
    assert max(odds["rude"], odds["hate"], odds["dirty"], odds["terrible"]) < -log(2)
    assert abs(odds["nobody"]) < log(2)
    rows = _probe_rows("review_sentiment")
    scores = [sum(odds.get(word, 0) for word in WORD.findall(row["text"].lower())) for row in rows]
    right = [
        (score > 0) == (row["label"] == "positive") for score, row in zip(scores, rows, strict=True)
    ]
    assert 0.75 <= sum(right) / len(rows) <= 0.95


@pytest.mark.parametrize("heldout", [False, True])
def test_entities_occur_verbatim_and_in_order(heldout: bool) -> None:
    for row in entities.generate(2000, 0, heldout):
        if row["entities"] == "none":
            continue
        start = 0
        for entity in row["entities"].split("; "):
            kind, _, span = entity.partition(": ")
            assert kind in ("person", "place", "organisation", "pet"), row
            position = row["sentence"].find(span, start)
            assert position >= 0, row
            start = position + len(span)


def test_a_tenth_of_the_sentences_names_nothing() -> None:
    assert sum(row["entities"] == "none" for row in _probe_rows("named_entities")) == 40


def test_the_same_name_is_a_person_here_and_a_pet_there() -> None:
    names: dict[str, set[str]] = {"person": set(), "pet": set()}
    for row in _probe_rows("named_entities"):
        for kind, _, span in (entity.partition(": ") for entity in row["entities"].split("; ")):
            names.get(kind, set()).add(span)
    assert len(names["person"] & names["pet"]) >= 20


def test_a_sum_and_a_difference_are_right() -> None:
    num_checked = 0
    for row in dates.generate(2000, 0, False):
        numbers = [int(text) for text in re.findall(r"\d+", row["question"])]
        if re.search(r"plus| \+ |^Add|\d more\b|another\.", row["question"]):
            assert int(row["answer"]) == sum(numbers), row
        elif re.search(r"minus| - |^Take|gives away| took ", row["question"]):
            assert int(row["answer"]) == max(numbers) - min(numbers), row
        else:
            continue
        num_checked += 1
    assert num_checked == 280 + 150


@pytest.mark.parametrize("names", [calendar.day_name, calendar.month_name])
def test_a_day_or_month_is_right(names: Sequence[str]) -> None:
    cycle = [name for name in names if name]
    num_checked = 0
    for row in dates.generate(2000, 0, False):
        asked = [name for name in cycle if name in row["question"]]
        if not asked or row["answer"] not in cycle:
            continue
        steps = re.search(r"(two|three|four|five|six) (day|month)s", row["question"].lower())
        num_steps = ("two", "three", "four", "five", "six").index(steps[1]) + 2 if steps else 1
        back = re.search(
            r"before|ago|earlier|was yesterday|called yesterday|^Tomorrow is|was last month"
            r"|last month\. Which|^Next month",
            row["question"],
        )
        position = cycle.index(asked[0]) + (-num_steps if back else num_steps)
        assert row["answer"] == cycle[position % len(cycle)], row
        num_checked += 1
    assert num_checked == 280 + (150 if len(cycle) == 7 else 75)


def test_most_sums_are_small() -> None:
    rows = [row for row in dates.generate(2000, 0, False) if " plus " in row["question"]]
    share = sum(int(row["answer"]) <= 20 for row in rows) / len(rows)
    assert 0.5 < share < 0.8
