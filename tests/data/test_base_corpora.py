"""The corpora of chats, passages, stories and short tasks: clean rows, and unseen probes."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from datasketch import MinHash, MinHashLSH

from data.generators import (
    friend_chats,
    news,
    notes,
    passages,
    sentence_pairs,
    stories,
    translation,
)
from data.generators.common import words, write_jsonl

PROBES = Path("data/probes")
NUM_PROBE_ROWS = 400
NUM_ORDINARY_ROWS = 10_000
Row = dict[str, str]
GENERATORS: dict[str, Callable[[int, int, bool], Iterator[Row]]] = {
    "friend_chats": friend_chats.generate,
    "passage_qa": passages.generate,
    "stories": stories.generate,
    "news": news.generate,
    "notes": notes.generate,
    "paraphrase": sentence_pairs.generate_paraphrases,
    "entailment": sentence_pairs.generate_entailments,
    "translation": translation.generate,
}
NAME_OR_NUMBER = re.compile(r"\b[A-Z][a-z]+|\d+:?\d*")
SENTENCE_OPENERS = set(
    words(
        """After As At Because Before By First For He In Instead Now On Since She The Then There
        They Tomorrow When While With"""
    )
)


@cache
def rows(name: str, num_rows: int, heldout: bool) -> list[Row]:
    return list(GENERATORS[name](num_rows, 0, heldout))


def texts(row: Row) -> tuple[str, ...]:
    return tuple(text for key, text in row.items() if key != "id")


@pytest.mark.parametrize("name", [name for name in GENERATORS if name != "stories"])
def test_probe_file_regenerates_byte_for_byte(name: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "probe.jsonl", rows(name, NUM_PROBE_ROWS, heldout=True))
    written = (tmp_path / "probe.jsonl").read_bytes()
    assert written == (PROBES / f"{name}.jsonl").read_bytes()
    assert written.count(b"\n") == NUM_PROBE_ROWS


@pytest.mark.parametrize("name", GENERATORS)
def test_no_heldout_row_is_an_ordinary_one(name: str) -> None:
    ordinary = {texts(row) for row in rows(name, NUM_ORDINARY_ROWS, heldout=False)}
    heldout = {texts(row) for row in rows(name, NUM_PROBE_ROWS, heldout=True)}
    assert len(heldout) == NUM_PROBE_ROWS
    assert not ordinary & heldout


def test_heldout_people_never_occur_in_ordinary_chats() -> None:
    def speakers(heldout: bool, num_rows: int) -> set[str]:
        dialogues = "\n".join(row["dialogue"] for row in rows("friend_chats", num_rows, heldout))
        return set(re.findall(r"^(\w+):", dialogues, re.MULTILINE))

    assert len(speakers(True, NUM_PROBE_ROWS)) >= 40
    assert not speakers(True, NUM_PROBE_ROWS) & speakers(False, NUM_ORDINARY_ROWS)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_seed_decides_the_rows(name: str) -> None:
    first, again, other = (list(GENERATORS[name](50, seed, False)) for seed in (3, 3, 4))
    assert first == again
    assert not {texts(row) for row in first} & {texts(row) for row in other}


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("heldout", [False, True])
def test_rows_are_clean_text(name: str, heldout: bool) -> None:
    for row in rows(name, NUM_PROBE_ROWS if heldout else NUM_ORDINARY_ROWS, heldout):
        joined = "\n".join(texts(row))
        assert joined.isascii() or name == "translation"
        assert not re.search(r"[{}|]|  |\ba [aeiou]", joined), row


@pytest.mark.parametrize("heldout", [False, True])
def test_answers_are_whole_words_of_the_passage(heldout: bool) -> None:
    for row in rows("passage_qa", NUM_PROBE_ROWS if heldout else NUM_ORDINARY_ROWS, heldout):
        assert 30 <= len(row["passage"].split()) <= 80
        assert re.search(rf"(?<!\w){re.escape(row['answer'])}(?!\w)", row["passage"]), row


def test_questions_do_not_give_the_answer_away() -> None:
    answers: dict[str, set[str]] = {}
    for row in rows("passage_qa", NUM_ORDINARY_ROWS, heldout=False):
        assert row["answer"] not in row["question"].split(), row
        kind = re.sub(r"[A-Z]\w+", "X", row["question"].split(" ", 1)[1])
        answers.setdefault(kind, set()).add(row["answer"])
    common = [given for given in answers.values() if len(given) > 1]
    assert len(common) >= 72
    assert min(map(len, common)) >= 3


@pytest.mark.parametrize("heldout", [False, True])
def test_chats_have_the_promised_size(heldout: bool) -> None:
    for row in rows("friend_chats", NUM_PROBE_ROWS if heldout else 2_000, heldout):
        turns = row["dialogue"].split("\n")
        speakers = {re.match(r"([A-Z][a-z]+): \S", turn)[1] for turn in turns}  # type: ignore[index]
        assert 4 <= len(turns) <= 14
        assert 2 <= len(speakers) <= 3
        assert 35 <= len(row["dialogue"].split()) <= 120
        assert 8 <= len(row["summary"].split()) <= 30


@pytest.mark.parametrize("heldout", [False, True])
def test_every_name_and_number_of_a_summary_is_in_its_chat(heldout: bool) -> None:
    for row in rows("friend_chats", NUM_PROBE_ROWS if heldout else NUM_ORDINARY_ROWS, heldout):
        said = set(NAME_OR_NUMBER.findall(row["dialogue"]))
        named = set(NAME_OR_NUMBER.findall(row["summary"])) - SENTENCE_OPENERS
        assert named <= said, (named - said, row)


def test_summaries_are_varied() -> None:
    summaries = {row["summary"] for row in rows("friend_chats", 2_000, heldout=False)}
    assert len(summaries) >= 0.9 * 2_000


def test_few_dialogues_are_near_duplicates() -> None:
    index = MinHashLSH(threshold=0.8, num_perm=64)
    num_duplicates = 0
    for row in rows("friend_chats", 1_000, heldout=False):
        tokens = row["dialogue"].lower().split()
        sketch = MinHash(num_perm=64, seed=1)
        sketch.update_batch(
            [" ".join(gram).encode() for gram in zip(tokens, tokens[1:], tokens[2:], strict=False)]
        )
        num_duplicates += bool(index.query(sketch))
        index.insert(row["id"], sketch)
    assert num_duplicates < 10


def test_stories_have_the_promised_size() -> None:
    for row in rows("stories", 2_000, False):
        assert row["beginning"] and row["continuation"]
        assert 60 <= len(f"{row['beginning']} {row['continuation']}".split()) <= 150
