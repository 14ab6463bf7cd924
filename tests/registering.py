"""A register stage to run: artifacts as the seven stages before it leave them.

_, result = registered(pipeline(workspace, tuned=0.4))
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks import register
from tasks.config import Recipe
from tasks.stage import (
    MANIFEST,
    Artifact,
    Inputs,
    digest_of_folder,
    digest_of_json,
    digests_of_files,
    load_artifact,
    read_json,
    write_json,
)

NUM_TEST = 60


def recipe(**changes: Any) -> Recipe:
    content = {
        "name": "chat",
        "base_model": {"path": "models/tiny"},
        "tasks": [{"name": "chat", "source": {"path": "c.jsonl"}, "prompts": "dialogue_summary"}],
        "registry": {"model": "summarizer"},
        **changes,
    }
    return Recipe.model_validate_json(json.dumps(content))


def write_stage(workspace: Path, stage: str, files: dict[str, Any], **manifest: Any) -> None:
    folder = workspace / stage
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
    digest = digest_of_json([stage, {name: str(content) for name, content in files.items()}])
    made = {"stage": stage, "version": "1", "key": "k", "inputs": {}, "outputs": {}, "volatile": {}}
    made |= {"digest": digest, "rows": 1, "counts": {}, "seconds": 0.1, **manifest}
    write_json(folder / MANIFEST, made)


def measured(value: float, half: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": NUM_TEST}


def metrics_json(base: float, tuned: float) -> dict[str, Any]:
    ways = {"base": {"rougeL": measured(base)}, "tuned": {"rougeL": measured(tuned)}}
    gain = {**measured(tuned - base, 0.02), "metric": "rougeL", "needed_n": 5, "p": 0.01}
    return {
        "ways": ways,
        "tasks": {"chat": {"primary": "rougeL", "human": {}, "ways": ways}},
        "differences": {"tuned-base": {"macro": gain, "tasks": {"chat": gain}}},
        "primary": "rougeL",
        "higher_is_better": {"rougeL": True},
        "best_in_context": None,
        "min_effect": 0.02,
        "generation": {},
        "phrasings": {},
    }


def predictions(tuned: float, prompt: str) -> str:
    rows = [
        {
            "id": f"{number:016x}", "task": "chat", "template": "gist",
            "prompt": f"{prompt} {number}", "references": ["r"],
            "completions": {"base": "b", "tuned": "t"},
            "scores": {"base": {"rougeL": 0.0}, "tuned": {"rougeL": tuned + (number % 5) / 50}},
        }
        for number in range(NUM_TEST)
    ]  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


def probe_answers(drop: float) -> str:
    rows = [
        {
            "id": f"{number:016x}", "task": "entities", "template": "t", "prompt": f"Who? {number}",
            "references": ["r"], "completions": {"base": "b", "tuned": "t"},
            "scores": {"base": {"entity_f1": 0.8}, "tuned": {"entity_f1": 0.8 - drop}},
        }
        for number in range(20)
    ]  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


def pipeline(
    workspace: Path,
    tuned: float = 0.34,
    drop: float = 0.0,
    prompt: str = "Gist",
    model: Path | None = None,
    adapter: dict[str, str] | None = None,
) -> Inputs:
    """What the seven stages before leave behind; the weights are a text unless there is a model."""
    templates = [{"name": "gist", "heldout": False, "prompt": "Gist {{ d }}", "completion": "c"}]
    stored = {
        "name": "p", "version": "1", "task": "summarization", "slots": ["d"], "target": "s",
        "choices": [], "digest": "x", "templates": templates,
    }  # fmt: skip
    counts = {"rows": 5, "read": 5, "rejected": 0, "duplicates": 0, "not_chosen": 0}
    counts |= {"reasons": {}, "remarks": []}
    write_stage(workspace, "ingest", {"summary.json": {"chat": counts}})
    rendered = {"summary.json": {"chat": {"rejected": 0}}, "prompts/chat.json": stored}
    write_stage(workspace, "template", rendered)
    sides = {side: 3 for side in ("train", "validation", "test")}
    divided = {"chat": {**sides, "left_out": 0}}
    write_stage(workspace, "split", {"summary.json": divided}, counts=sides)
    for side in sides:
        rows = [
            {"id": id, "task": "chat", "prompt": "Gist", "completion": "c", "label": None}
            for id in (side, "b", "c")
        ]
        schema = pa.schema([(name, pa.string()) for name in rows[0]])
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, workspace / "split" / f"{side}.parquet")
    write_stage(
        workspace,
        "train",
        {
            "model/config.json": {"is_encoder_decoder": True},
            "model/model.safetensors": f"weights {tuned}",
            "summary.json": {
                "parameters": 10, "trainable_parameters": 10, "tokens": 9, "mixture": {}
            },
            "speed.json": {"seconds": 1.0, "tokens_per_s": 9.0, "peak_memory_bytes": 1024},
            "epochs.csv": "epoch,step,train_loss,validation_loss\n1,10,2.0,2.1\n",
            "steps.jsonl": '{"step": 1, "loss": 3.0}\n',
            **(adapter or {}),
        },
        inputs={"base_model": "base-digest"},
    )  # fmt: skip
    if model:  # nothing was learnt: it is its own base model
        shutil.copytree(model, workspace / "train" / "model", dirs_exist_ok=True)
        made = read_json(workspace / "train" / MANIFEST)
        made["inputs"]["base_model"] = digest_of_folder(model)
        write_json(workspace / "train" / MANIFEST, made)
    scored = {"metrics.json": metrics_json(0.05, tuned)}
    write_stage(workspace, "validate", scored | {"predictions.jsonl": predictions(tuned, prompt)})
    overlap = {"chat": {"rows": NUM_TEST, "overlapping": 0}}
    leakage = {"leakage.json": {"left_out": False, "tasks": overlap}}
    answers = {"predictions.jsonl": predictions(tuned, prompt)}
    write_stage(workspace, "test", scored | leakage | answers)
    probe = {"metric": "entity_f1", "before": 0.8, "after": 0.8 - drop, "delta": -drop, "n": 9}
    probe |= {"low": -drop - 0.02, "high": -drop + 0.02, "verdict": "kept", "needed_n": 9}
    probe |= {"flips": None, "leakage": {"rows": 20, "overlapping": 0, "left_out": False}}
    probes = {"max_drop": 0.05, "within_budget": True, "worst": "e", "probes": {"entities": probe}}
    write_stage(
        workspace,
        "forgetting",
        {"probes.json": probes, "metrics.json": {}, "predictions.jsonl": probe_answers(drop)},
    )
    for name in register.NEEDS:
        made = read_json(workspace / name / MANIFEST)
        write_json(
            workspace / name / MANIFEST, made | {"outputs": digests_of_files(workspace / name)}
        )
    return Inputs(workspace, {name: load_artifact(workspace, name) for name in register.NEEDS})


def registered(inputs: Inputs, **changes: Any) -> tuple[Artifact, dict[str, Any]]:
    from tasks.tracking.run import tracked

    key = digest_of_json([artifact.digest for artifact in inputs.artifacts.values()])
    told = recipe(**changes)
    with tracked(told, inputs.workspace, key, {"prefect.flow_run_id": "flow-7"}):
        artifact = register.run(register.select(told), inputs)
    return artifact, json.loads((artifact.path / "result.json").read_text(encoding="utf-8"))
