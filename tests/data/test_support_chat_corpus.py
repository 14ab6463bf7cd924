"""The committed corpus of support chats: reproducible, within its limits, honestly held out.

One record: {"id": "support-0001", "business": "hotel desk", "split": "train",
"dialogue": "Agent Maya: ... Tom: ...", "summary": "Tom wants ..."}.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from datasketch import MinHash, MinHashLSH

from data.generators.support_chat import OUT, write_corpus
from data.generators.support_chat_fragments import DAYS, MONTHS, load_book

Row = dict[str, str]
BUSINESSES = {
    "hotel desk", "airline", "bank", "parcel service", "telecom", "electricity",
    "software support", "pharmacy", "library", "gym", "restaurant", "car rental",
}  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [json.loads(line) for line in OUT.read_text("ascii").splitlines()]


def split_of(rows: list[Row], name: str) -> list[Row]:
    return [row for row in rows if row["split"] == name]


def words(text: str) -> list[str]:
    return re.findall(r"[\w.-]*\w", text)


def shingles(text: str) -> set[str]:
    tokens = words(text.lower())
    return {" ".join(tokens[at : at + 3]) for at in range(len(tokens) - 2)}


def test_committed_file_is_what_the_generator_writes(tmp_path: Path) -> None:
    write_corpus(tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == OUT.read_bytes()


def test_seed_changes_the_corpus(tmp_path: Path) -> None:
    write_corpus(tmp_path / "other.jsonl", num_rows=14, seed=1)
    lines = (tmp_path / "other.jsonl").read_text("ascii").splitlines()
    assert len(lines) == 14
    assert lines[0] != OUT.read_text("ascii").splitlines()[0]


def test_counts_and_fields(rows: list[Row]) -> None:
    assert Counter(row["split"] for row in rows) == {"train": 1200, "test": 200}
    assert [row["id"] for row in rows] == [f"support-{n:04d}" for n in range(1, 1401)]
    fields = {"id", "business", "dialogue", "summary", "split"}
    assert all(set(row) == fields for row in split_of(rows, "train"))
    assert all(set(row) == fields | {"summary2"} for row in split_of(rows, "test"))
    assert all(row["summary2"] != row["summary"] for row in split_of(rows, "test"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_business_is_in_every_split(rows: list[Row], split: str) -> None:
    counts = Counter(row["business"] for row in split_of(rows, split))
    assert set(counts) == BUSINESSES
    assert min(counts.values()) >= 0.06 * len(split_of(rows, split))


def test_every_business_has_scenarios_with_several_outcomes() -> None:
    outcomes: dict[str, Counter[int]] = {}
    for case in load_book().cases:
        outcomes.setdefault(case.business, Counter())[id(case.scenario)] += 1
    assert set(outcomes) == BUSINESSES
    assert all(len(scenarios) >= 5 for scenarios in outcomes.values())
    assert all(count >= 3 for scenarios in outcomes.values() for count in scenarios.values())


def test_lengths_and_turns(rows: list[Row]) -> None:
    for row in rows:
        turns = row["dialogue"].split("\n")
        assert 6 <= len(turns) <= 16, row["id"]
        assert all(re.match(r"[A-Z][A-Za-z ]+: \S", turn) for turn in turns), row["id"]
        speakers = [turn.split(":")[0] for turn in turns]
        assert len(set(speakers)) == 2, row["id"]
        assert all(a != b for a, b in zip(speakers, speakers[1:], strict=False)), row["id"]
        assert 60 <= len(row["dialogue"].split()) <= 170, row["id"]
        for text in (row["summary"], row.get("summary2", row["summary"])):
            assert 15 <= len(text.split()) <= 45, row["id"]
            assert 1 <= len(re.findall(r"[.](?= |$)", text)) <= 3, row["id"]


def test_no_markup_and_no_slip_of_grammar(rows: list[Row]) -> None:
    bad = re.compile(
        r"[\[\]{}|]|//|  |\b[Aa] (8|11|18|8\d)\b|\b[Aa] [aeio][a-z]+|\b(?!that|bye)(\w+) \2\b"
    )
    for row in rows:
        text = " ".join(row.values())
        assert not bad.search(text), (row["id"], bad.search(text))


def facts_of(summary: str, names: set[str]) -> set[str]:
    """Names, days, months and every token with a digit."""
    known = names | set(DAYS) | set(MONTHS)
    return {word for word in words(summary) if word in known or re.search(r"\d", word)}


def test_dialogue_holds_every_fact_of_its_summaries(rows: list[Row]) -> None:
    shared = load_book().shared
    names = set(shared["first_names"].split()) | set(shared["surnames"].split())
    for row in rows:
        told = set(words(row["dialogue"]))
        for text in (row["summary"], row.get("summary2", "")):
            assert facts_of(text, names) <= told, row["id"]
        assert facts_of(row["summary"], names) & names, row["id"]


def test_test_rows_are_held_out(rows: list[Row]) -> None:
    train = {row["dialogue"] for row in split_of(rows, "train")}
    test = [row["dialogue"] for row in split_of(rows, "test")]
    assert len(set(test)) == 200
    assert not train & set(test)
    mask = re.compile(r"\d[\d.:-]*|\b[A-Z][a-z]+\b")
    assert not {mask.sub("_", text) for text in train} & {mask.sub("_", text) for text in test}


def near_duplicates(texts: list[str]) -> set[int]:
    """Rows whose word 3-grams overlap those of another row by a Jaccard index of 0.8 or more."""
    index, found = MinHashLSH(threshold=0.8, num_perm=128), set()
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([shingle.encode() for shingle in sorted(shingles(text))])
        twins = [int(twin) for twin in index.query(sketch)]
        found |= {number, *twins} if twins else set()
        index.insert(str(number), sketch)
    return found


def test_near_duplicates_are_under_one_percent(rows: list[Row]) -> None:
    assert len(near_duplicates([row["dialogue"] for row in rows])) < 0.01 * len(rows)


def test_near_duplicates_are_seen(rows: list[Row]) -> None:
    text = rows[0]["dialogue"]
    assert near_duplicates([text, rows[1]["dialogue"], text + " Bye now."]) == {0, 2}
