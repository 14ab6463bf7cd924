"""A report to render: artifacts as the stages leave them, with the same text wherever data speak.

facts = toy_facts(tmp_path, "<script>alert(1)</script>")
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.report.confusion import confusions
from tasks.report.facts import Facts, read_facts
from tasks.report.frontier import FrontierPoint
from tasks.tracking.decision import ChampionEvidence, Interval

NUM_PREDICTIONS = 45
STAGES = ("ingest", "template", "split", "train", "validate", "test", "forgetting")
SCORES = {"base": 0.0, "few_shot": 0.05, "few_shot_5": 0.06}


def figure(value: float, n: int = 12) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": n}


def gap(value: float, half: float = 0.02) -> dict[str, Any]:
    ends = {"value": value, "low": value - half, "high": value + half, "n": 12, "metric": "rougeL"}
    is_decided = abs(value) > half
    return {**ends, "p": 0.0002, "p_holm": 0.02, "decided": is_decided, "needed_n": 410}


def prediction(number: int, score: float, text: str = "") -> dict[str, Any]:
    answers = {way: f"{way} {text}" for way in SCORES} | {"tuned": f"tuned {number} Zoe {text}"}
    return {
        "id": f"{number:016x}",
        "task": "chat",
        "template": "gist",
        "prompt": f"Gist {number}: {text}",
        "references": [f"Reference {number} {text}"],
        "completions": answers,
        "scores": {way: {"rougeL": SCORES.get(way, score), "fabrication": 0.0} for way in answers},
    }


def result(text: str = "") -> dict[str, Any]:
    tuned = {"rougeL": figure(0.34), "exact|match": figure(0.1)}
    entities = {"before": 0.81, "after": 0.6, "delta": -0.21, "low": -0.25, "high": -0.17}
    return {
        "recipe": "chat",
        "model": "summarizer",
        "version": "3",
        "run_id": "5d41",
        "aliases": ["challenger"],
        "validation": {"rougeL": figure(0.35)},
        "test": {"base": {"rougeL": figure(0.05)}, "few_shot": {"rougeL": figure(0.06)},
                 "tuned": tuned},
        "forgetting": {f"entities{text}": entities},
        "decision": {"promote": False, "reasons": [f"entities fell {text} [bold]"]},
        "report": "/home/report.html",
    }  # fmt: skip


def metrics(text: str = "") -> dict[str, Any]:
    """Two tasks, of which the second got worse."""
    values = {"base": 0.05, "few_shot": 0.06, "few_shot_5": 0.07, "tuned": 0.34}
    ways = {
        way: {"rougeL": figure(value), "fabrication": figure(0.1)} for way, value in values.items()
    }
    own = {"primary": "rougeL", "human": {"rougeL": figure(0.6, n=5)}, "ways": ways}
    names = ("chat", f"mail {text}")
    shots = {"asked": 3, "fitted_mean": 2.5, "fitted": {"2": 6, "3": 6}}
    cost = {"tokens_per_request": 290.4, "relative_cost": 1.0, "truncated_prompts": 1}
    cost |= {"hit_length_limit": 2, "shots": shots}
    phrasing = {"metric": "rougeL", "spread": 0.04, "seen": figure(0.3), "heldout": figure(0.28)}
    phrasing |= {"difference": figure(0.02)}
    phrasing["templates"] = {
        f"gist{text}": {"heldout": False, **figure(0.32)},
        "recap": {"heldout": True, **figure(0.28)},
    }
    gaps = {"chat": gap(0.29), names[1]: gap(-0.07)}
    return {
        "ways": {way: {"macro/primary": figure(value)} for way, value in values.items()},
        "tasks": dict.fromkeys(names, own),
        "differences": {f"tuned-{way}": {"macro": gap(0.3 - n / 3.4), "tasks": gaps}
                        for n, way in enumerate(["base", "few_shot"])},
        "primary": "macro/primary",
        "higher_is_better": {"rougeL": True, "fabrication": False},
        "best_in_context": "few_shot_5",
        "min_effect": 0.02,
        "generation": dict.fromkeys(values, cost),
        "phrasings": {"chat": phrasing},
    }  # fmt: skip


def probes(text: str = "") -> dict[str, Any]:
    example = {name: f"{name} {text}" for name in ("id", "prompt", "reference", "before", "after")}
    flip = {"rows": 9, "share": 0.225, "example": example}
    entities = {
        **{"metric": "entity_f1", "before": 0.81, "after": 0.6, "delta": -0.21, "low": -0.25},
        **{"high": -0.17, "n": 40, "verdict": "forgotten", "needed_n": 310},
        "flips": {"right_to_wrong": flip, "wrong_to_right": {**flip, "example": None, "rows": 0}},
        "leakage": {"rows": 40, "overlapping": 1, "left_out": False},
    }
    prose = {**entities, "metric": "inverse_perplexity", "delta": 0.01, "low": -0.06, "high": 0.05}
    prose |= {"verdict": "uncertain", "flips": None}
    return {"max_drop": 0.05, "probes": {f"entities{text}": entities, "prose": prose}}


def write_folders(folder: Path, text: str) -> dict[str, Path]:
    """The folder of each stage, with what a report reads."""
    names = ("chat", f"mail {text}")
    read = {
        "read": 16,
        "rows": 12,
        "rejected": 2,
        "duplicates": 1,
        "not_chosen": 1,
        "reasons": {text: 2},
        "remarks": [f"read {text}"],
    }
    divided = {
        "train": 10,
        "validation": 1,
        "test": 1,
        "left_out": 0,
        "near_duplicates": 3,
        "leaks": 4,
        "remarks": [f"torn {text}"],
    }
    overlap = {"rows": 1, "overlapping": 1, "share": 1.0, "examples": []}
    share = {"rows": 1234, "draws": 567, "share": 0.25, "passes": 0.459, "replay": False}
    sizes = {"parameters": 123456, "trainable_parameters": 1234, "tokens": 98765, "packed": False}
    documents: dict[str, Any] = {
        "ingest/summary.json": dict.fromkeys(names, read),
        "template/summary.json": dict.fromkeys(names, {"rejected": 1}),
        "split/summary.json": dict.fromkeys(names, divided),
        "train/summary.json": {**sizes, "method": text, "mixture": dict.fromkeys(names, share)},
        "train/speed.json": {"seconds": 61.2, "tokens_per_s": 1613.0, "peak_memory_bytes": 2**30},
        "test/metrics.json": metrics(text),
        "test/leakage.json": {"left_out": True, "tasks": dict.fromkeys(names, overlap)},
        "forgetting/probes.json": probes(text),
    }  # fmt: skip
    made = {"version": "1", "rows": 12, "seconds": 0.5, "digest": "d1735", "key": "k"}
    documents |= {f"{stage}/manifest.json": made for stage in STAGES}
    for name, content in documents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    _write_rows(folder / "test" / "predictions.jsonl", [
        prediction(number, number / NUM_PREDICTIONS, text) for number in range(NUM_PREDICTIONS)
    ])  # fmt: skip
    steps = [{"step": step, "loss": 3 - step / 1000} for step in range(1, 1001)]
    _write_rows(folder / "train" / "steps.jsonl", steps)
    columns = "epoch,step,train_loss,validation_loss,validation_token_accuracy"
    epochs = f"{columns}\n1,500,2.5,2.4,0.5\n2,1000,2.0,2.2,0.6\n"
    (folder / "train" / "epochs.csv").write_text(epochs, encoding="utf-8")
    pairs = [
        {"task": name, "prompt": "p" * n, "completion": "c"} for name in names for n in range(12)
    ]
    for side in ("train", "validation", "test"):
        pq.write_table(pa.Table.from_pylist(pairs), folder / "split" / f"{side}.parquet")
    return {stage: folder / stage for stage in STAGES}


def toy_facts(folder: Path, text: str = "", **changes: Any) -> Facts:
    """All that a report says, read from folders.

    Args:
        folder: An empty one.
        text: Stands wherever a text comes from data, models or recipes.
        changes: Of the document of `retune run --json`.
    """
    recipe: Mapping[str, Any] = {
        "name": "chat",
        "base_model": {"hub": None, "path": f"base {text}"},
    }
    champion = ChampionEvidence(
        f"2{text}", "rougeL", Interval(0.02, -0.01, 0.05), own=Interval(0.32, 0.31, 0.33),
        probes={f"entities{text}": Interval(-0.11, -0.15, -0.07)},
    )  # fmt: skip
    folders = write_folders(folder, text)
    told = {**result(text), **changes}
    facts = read_facts(
        told, recipe, champion, {"retune.a": text, "retune.b": '{"c": "d"}'}, folders
    )
    points = [
        FrontierPoint(f"full {text}", 0.29, 0.26, 0.31, 0.21, 0.17, 0.25),
        FrontierPoint("replay", 0.2, 0.18, 0.22, 0.02, 0.0, 0.04, chosen=True),
    ]
    labels = confusions([label("bad"), label(f"good{text}")], {"chat": ["accuracy"]})
    return replace(facts, candidates=points, confusions=labels)


def label(right: str) -> dict[str, Any]:
    """A row whose answer is the label `bad`."""
    return {"task": "chat", "references": [right], "completions": {"tuned": "bad"}}


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
