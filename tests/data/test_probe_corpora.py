"""The committed probe files are what the generators make, balanced, and new to a trained model."""

import calendar
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from data.generators import dates, entities, reviews
from data.generators.common import Generate, Row, write_jsonl

PROBES = Path(__file__).parents[2] / "data" / "probes"
NUM_PROBE_ROWS = 400
NUM_ORDINARY_ROWS = 20_000

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


def test_no_single_word_decides_the_sentiment() -> None:
    positive: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for row in reviews.generate_sentiment(NUM_ORDINARY_ROWS, 0, False):
        words = set(re.findall(r"[a-z]+", row["text"].lower()))
        total.update(words)
        positive.update(words if row["label"] == "positive" else ())
    shares = {word: positive[word] / total[word] for word in total if total[word] >= 100}
    assert {"clean", "dirty", "friendly", "rude", "not", "but", "nobody"} <= set(shares)
    assert {word: share for word, share in shares.items() if not 0.2 < share < 0.8} == {}


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
        if re.search(r"plus| \+ |^Add|more\.|another", row["question"]):
            assert int(row["answer"]) == sum(numbers), row
            num_checked += 1
        elif re.search(r"minus| - |^Take|gives away| took ", row["question"]):
            assert int(row["answer"]) == max(numbers) - min(numbers), row
            num_checked += 1
    assert num_checked == 500


def test_a_day_of_the_week_is_right() -> None:
    gaps = ["zero days", "one day", "two days", "three days", "four days", "five days", "six days"]
    num_checked = 0
    for row in dates.generate(2000, 0, False):
        days = [day for day in calendar.day_name if day in row["question"]]
        if not days:
            continue
        gap = gaps.index(re.findall("|".join(gaps), row["question"].lower())[0])
        back = re.search(r"before|ago|earlier", row["question"])
        weekday = list(calendar.day_name).index(days[0]) + (-gap if back else gap)
        assert row["answer"] == calendar.day_name[weekday % 7], row
        num_checked += 1
    assert num_checked == 500
