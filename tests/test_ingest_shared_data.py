"""Ingest on public data in the form in which it is published."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks import ingest
from tasks.errors import BadData
from tasks.stage import Inputs
from tests.ingesting import recipe_of

DATA = Path(
    os.environ.get("RETUNE_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)

POLARITY = {"label": {"pos": "positive", "neg": "negative"}}

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared data")


def ingested(
    tmp_path: Path, source: dict[str, Any], prompts: str, **task: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary and records."""
    artifact = ingest.run(ingest.select(recipe_of(source, prompts, **task)), Inputs(tmp_path, {}))
    summary = json.loads((artifact.path / "summary.json").read_text())["toy"]
    return summary, pq.read_table(artifact.path / "toy.parquet").to_pylist()


def counts(summary: dict[str, Any]) -> tuple[int, int, int, int]:
    return summary["read"], summary["rows"], summary["rejected"], summary["duplicates"]


def test_dialogsum(tmp_path: Path) -> None:
    folder = DATA / "dialogsum"
    source = {
        "path": str(folder / "dialogsum.train.jsonl.gz"),
        "validation": str(folder / "dialogsum.dev.jsonl"),
    }
    summary, records = ingested(tmp_path, source, "dialogue_summary")
    assert counts(summary) == (12_960, 12_960, 0, 0)
    assert sum(record["split"] == "validation" for record in records) == 500
    assert records[0]["dialogue"].startswith("#Person1#: Hi, Mr. Smith. I'm Doctor Hawkins.")


def test_uci_sentiment_sentences(tmp_path: Path) -> None:
    source = {
        "path": str(DATA / "uci_sentiment_sentences" / "*.txt"),
        "format": "tsv",
        "header": False,
        "columns": {"text": "0", "label": "1"},
        "values": {"label": {"0": "negative", "1": "positive"}},
    }
    summary, records = ingested(tmp_path, source, "review_sentiment")
    assert counts(summary) == (2_838, 2_822, 0, 16)
    assert {record["label"] for record in records} == {"negative", "positive"}
    assert sum(record["text"].startswith('"') for record in records) > 0  # quotes are text


def test_codexglue_parallel_lines(tmp_path: Path) -> None:
    folder = DATA / "codexglue_java_cs"
    source = {
        "path": str(folder / "train.java-cs.txt.java"),
        "format": "parallel",
        "parallel": {"target": str(folder / "train.java-cs.txt.cs")},
        "validation": str(folder / "valid.java-cs.txt.java"),
        "constants": {"source_language": "Java", "target_language": "C#"},
    }
    summary, records = ingested(tmp_path, source, "code_translation")
    assert counts(summary) == (10_295 + 499, 10_793, 0, 1)
    assert records[-1]["split"] == "validation"
    assert all("{" in record["target"] for record in records[:100])


def test_wnut17_columns(tmp_path: Path) -> None:
    folder = DATA / "ner" / "wnut17"
    source = {
        "path": str(folder / "wnut17train.conll"),
        "test": str(folder / "emerging.dev.conll"),
    }
    summary, records = ingested(tmp_path, source, "named_entities")
    assert counts(summary) == (3_394 + 1_009, 4_310, 0, 93)
    assert records[0]["entities"] == "location: Empire State Building; location: ESB"


def test_broad_twitter_corpus_has_tokens_that_are_missing(tmp_path: Path) -> None:
    source = {"path": str(DATA / "ner" / "BTC")}
    summary, records = ingested(tmp_path, source, "named_entities")
    assert counts(summary) == (9_339, 9_314, 4, 21)
    assert summary["reasons"] == {"not a token and a tag": 4}
    kinds = {part.split(":")[0] for r in records for part in r["entities"].split("; ")}
    assert {"person", "location", "organisation", "none"} <= kinds


def test_mts_dialog(tmp_path: Path) -> None:
    folder = DATA / "mts_dialog"
    source = {
        "path": str(folder / "MTS-Dialog-TrainingSet.csv"),
        "validation": str(folder / "MTS-Dialog-ValidationSet.csv"),
        "columns": {"summary": "section_text"},
    }
    summary, records = ingested(tmp_path, source, "dialogue_summary")
    assert counts(summary) == (1_301, 1_300, 0, 1)
    assert "\n" in records[0]["dialogue"]
    assert not any("\r" in record["dialogue"] for record in records)


def test_amazon_fashion_is_mostly_duplicates(tmp_path: Path) -> None:
    source = {
        "path": str(DATA / "amazon" / "AMAZON_FASHION_5.json.gz"),
        "columns": {"review": "reviewText", "title": "summary", "stars": "overall"},
    }
    summary, records = ingested(tmp_path, source, "review_rating")
    assert counts(summary) == (3_176, 442, 16, 2_718)
    assert {record["stars"] for record in records} <= {"1", "2", "3", "4", "5"}


def test_self_instruct_seed_tasks(tmp_path: Path) -> None:
    seeds = DATA / "self_instruct" / "seed_tasks.jsonl"
    with pytest.raises(BadData, match="the column 'output'"):
        ingested(tmp_path, {"path": str(seeds)}, "instruction")
    source = {"path": str(seeds), "format": "natural_instructions"}
    summary, records = ingested(tmp_path, source, "instruction")
    assert counts(summary) == (175, 175, 0, 0)
    assert records[1]["instruction"] == "What is the relation between the given pairs?"
    assert records[1]["input"] == "Night : Day :: Right : Left"
    assert any(record["input"] == "" for record in records)


def test_wikigold_has_tags_of_the_first_kind(tmp_path: Path) -> None:
    source = {"path": str(DATA / "ner" / "wikigold" / "wikigold.conll.txt"), "format": "conll"}
    summary, records = ingested(tmp_path, source, "named_entities")
    assert counts(summary) == (1_696, 1_687, 0, 9)
    assert (
        records[0]["entities"]
        == "other: 010; other: Japanese; organisation: The Mad Capsule Markets"
    )
    assert not any("-DOCSTART-" in record["sentence"] for record in records)


def test_fairytaleqa_from_its_archive(tmp_path: Path) -> None:
    archive = DATA / "fairytaleqa" / "fairytaleqa.zip"
    source = {
        "path": f"{archive}!*train*.csv",
        "validation": f"{archive}!valid.csv",
        "test": f"{archive}!test.csv",
        "columns": {"passage": "content"},
    }
    summary, records = ingested(tmp_path, source, "passage_qa")
    assert counts(summary) == (8_548 + 1_025 + 1_007, 10_580, 0, 0)
    assert Counter(record["split"] for record in records) == {
        None: 8_548,
        "validation": 1_025,
        "test": 1_007,
    }
    assert sum(len(record["references"]) == 2 for record in records) == 1_413


def test_movie_reviews_have_their_label_in_the_path(tmp_path: Path) -> None:
    source = {
        "path": f"{DATA / 'nltk_corpora' / 'movie_reviews.zip'}!*.txt",
        "format": "documents",
        "path_fields": "(?P<label>pos|neg)/",
        "values": POLARITY,
    }
    summary, records = ingested(tmp_path, source, "review_sentiment")
    assert counts(summary) == (2_000, 2_000, 0, 0)
    assert Counter(record["label"] for record in records) == {"negative": 1_000, "positive": 1_000}
    assert records[0]["text"].startswith("plot : two teen couples go to a church party")


def test_sentence_polarity_has_its_label_in_the_ending(tmp_path: Path) -> None:
    source = {
        "path": f"{DATA / 'nltk_corpora' / 'sentence_polarity.zip'}!*/rt-polarity.*",
        "format": "lines",
        "path_fields": r"\.(?P<label>pos|neg)$",
        "values": POLARITY,
    }
    summary, records = ingested(tmp_path, source, "review_sentiment")
    assert counts(summary) == (10_662, 10_662, 0, 0)
    assert Counter(record["label"] for record in records) == {"negative": 5_331, "positive": 5_331}
    assert records[0]["text"] == "simplistic , silly and tedious ."


def test_pros_and_cons_are_tagged(tmp_path: Path) -> None:
    source = {
        "path": f"{DATA / 'nltk_corpora' / 'pros_cons.zip'}!*/Integrated*.txt",
        "format": "tagged_lines",
        "values": {"label": {"Pros": "positive", "Cons": "negative"}},
    }
    summary, records = ingested(tmp_path, source, "review_sentiment")
    assert counts(summary) == (22_935 + 22_940, 41_710, 8, 4_157)
    assert summary["reasons"] == {"text is empty": 8}
    texts = {record["text"] for record in records}
    assert "no flash & you lose all your pix if the battery goez dead ." in texts


def test_passages_of_some_books_of_project_gutenberg(tmp_path: Path) -> None:
    archive = DATA / "gutenberg_prose" / "gutenberg_prose_15_authors.tar.xz"
    source = {
        "path": f"{archive}!Potter*",
        "format": "passages",
        "columns": {"text": "text", "original": "text"},
    }
    summary, records = ingested(tmp_path, source, "denoising")
    assert counts(summary) == (692, 686, 0, 6)
    words = sorted(len(record["text"].split()) for record in records)
    assert words[len(words) // 2] == 120
    text = "\n".join(record["text"] for record in records)
    assert "SMALL PRINT" not in text and "START OF TH" not in text
    assert "End of the Project" not in text and "END OF TH" not in text
