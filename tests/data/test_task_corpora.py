"""The corpora of news, notes, pairs of sentences and translation: targets follow from inputs."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.generators import fill, news, notes, sentence_pairs, translation

PROBES = Path(__file__).parents[2] / "data" / "probes"
NUM_ROWS = 5_000
WORD = re.compile(r"\d[\d:]*\d|\w+")
Row = dict[str, str]


def rows(name: str) -> list[Row]:
    """The held-out rows of a task and more ordinary ones."""
    generate: dict[str, Callable[[int, int, bool], Iterator[Row]]] = {
        "news": news.generate,
        "notes": notes.generate,
        "paraphrase": sentence_pairs.generate_paraphrases,
        "entailment": sentence_pairs.generate_entailments,
        "translation": translation.generate,
    }
    probe = [
        json.loads(line) for line in (PROBES / f"{name}.jsonl").read_text("ascii").splitlines()
    ]
    return [*probe, *generate[name](NUM_ROWS, 0, False)]


def names_and_numbers(text: str) -> set[str]:
    """Words in capitals that do not begin a sentence, and numbers."""
    return set(re.findall(r"(?<![.?!:] )(?<!^)\b[A-Z]\w+|\b\d[\d:]*", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("news", "article", "headline"),
        ("news", "article", "summary"),
        ("notes", "note", "reminder"),
    ],
)
def test_targets_name_only_what_the_source_tells(name: str, source: str, target: str) -> None:
    for row in rows(name):
        told = set(WORD.findall(row[source]))
        assert names_and_numbers(row[target]) <= told, row


def test_news_has_a_headline_and_a_summary_whatever_is_left_out() -> None:
    for name, kind in news.CONTENT["kinds"].items():
        always = [[text for text in detail if text[0] != "?"] for detail in kind["details"]]
        for said in itertools.product(kind["lead"], *filter(None, always)):
            told = news.slots_of(" ".join(said))
            for field in ("headline", "summary"):
                assert any(news.slots_of(text) <= told for text in kind[field]), (name, said)


def test_news_has_the_promised_size() -> None:
    for row in rows("news"):
        assert news.MIN_WORDS <= len(row["article"].split()) <= news.MAX_WORDS
        assert 3 <= len(row["headline"].split()) <= 13, row
        assert 6 <= len(row["summary"].split()) <= 24, row
        assert row["summary"].endswith(".") and not row["headline"].endswith(".")


def test_reminder_and_todo_say_the_same() -> None:
    for row in rows("notes"):
        reminders = row["reminder"].rstrip(".").split(". ")
        for said, line in zip(reminders, row["todo"].split("\n"), strict=True):
            match = re.fullmatch(r"(\w+): (.+) \((.+)\)", line)
            assert match and said == f"{match[1]} must {match[2]} {match[3]}", row


def test_changed_times_are_the_ones_to_remember() -> None:
    changed = 0
    for row in rows("notes"):
        match = re.search(
            r"Sorry, not (.+?), I mean (.+?)\.|wrote (.+?), but it must be (.+?)\.", row["note"]
        )
        if match:
            wrong, right = match[1] or match[3], match[2] or match[4]
            assert f"({right})" in row["todo"], row
            assert f"({wrong})" not in row["todo"] or "\n" in row["todo"], row
            changed += 1
    assert changed > 0.02 * NUM_ROWS


@pytest.mark.parametrize(("name", "target"), [("paraphrase", "same"), ("entailment", "answer")])
def test_answers_are_balanced(name: str, target: str) -> None:
    counts = Counter(row[target] for row in rows(name))
    assert min(counts.values()) >= max(counts.values()) - 2
    assert set(counts) == ({"yes", "no"} if name == "paraphrase" else {"yes", "no", "not said"})


def test_one_event_in_other_words_keeps_its_names_and_numbers() -> None:
    for row in rows("paraphrase"):
        if row["same"] == "yes":
            assert row["first"] != row["second"]
            named = names_and_numbers(row["first"])
            assert {name.lower() for name in named} <= set(WORD.findall(row["second"].lower())), row


def test_the_claim_alone_does_not_tell_the_answer() -> None:
    """The best answer to each claim, names and values masked, is right in under 7 of 10 rows."""
    values = {word for pool in sentence_pairs.CONTENT["slots"].values() for word in map(str, pool)}
    values |= {word for pool in fill.WORDS["closed"].values() for word in map(str, pool)}
    masked = re.compile("|".join(sorted(map(re.escape, values), key=len, reverse=True)))
    answers: dict[str, Counter[str]] = {}
    for row in rows("entailment"):
        claim = re.sub(r"\b[A-Z]\w+", "X", masked.sub("_", row["hypothesis"]))
        answers.setdefault(claim, Counter())[row["answer"]] += 1
    right = sum(counts.most_common(1)[0][1] for counts in answers.values())
    assert right / sum(map(Counter.total, answers.values())) < 0.7


GERMAN_NOUNS = {
    entry.split(": ")[1][2:]: entry.split(": ")[1][0]
    for kind in ("people", *translation.THINGS)
    for entry in translation.CONTENT[kind]
}
ARTICLES = {
    "m": {"der", "den", "einen", "keinen"},
    "f": {"die", "eine", "keine"},
    "n": {"das", "ein", "kein"},
}


def test_german_articles_agree_with_their_nouns() -> None:
    num_checked = 0
    for row in rows("translation"):
        german = row["target" if row["target_language"] == "German" else "source"]
        for article, noun in re.findall(r"\b((?:[Dd]|[Kk]?[Ee]i)\w+) ([A-Z]\w+)", german):
            if noun in GERMAN_NOUNS:
                assert article.lower() in ARTICLES[GERMAN_NOUNS[noun]], german
                num_checked += 1
    assert num_checked > NUM_ROWS


def test_no_english_sentence_has_two_translations() -> None:
    german: dict[str, set[str]] = {}
    for row in rows("translation"):
        sides = {row["source_language"]: row["source"], row["target_language"]: row["target"]}
        german.setdefault(sides["English"], set()).add(sides["German"])
    assert not {text: said for text, said in german.items() if len(said) > 1}
