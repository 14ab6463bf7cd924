"""Ingest on public data in the form in which it is published."""

import json
import os
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
    tasks = [json.loads(line) for line in seeds.read_text(encoding="utf-8").splitlines()]
    rows = [
        {"instruction": task["instruction"], **instance}
        for task in tasks
        for instance in task["instances"]
    ]
    flat = tmp_path / "seed_tasks.json"
    flat.write_text(json.dumps(rows), encoding="utf-8")
    summary, records = ingested(tmp_path, {"path": str(flat)}, "instruction")
    assert summary["rows"] == len(rows) == 175
    assert any(record["input"] == "" for record in records)
