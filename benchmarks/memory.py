"""The memory that training takes, forecast and measured.

    python benchmarks/memory.py

For each configuration, a model of random weights is trained for a few steps by the process that
`retune run` starts, and the peak that it reports (of the GPU where there is one, else resident) is
put beside what `retune plan` forecasts from the config alone. Results go to
benchmarks/results/memory.json and memory.md.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers as tf

from tasks.config import Train
from tasks.gpus import has_gpu
from tasks.launch import launch
from tasks.stage import read_json, write_json
from tasks.training.forecast import Forecast, forecast
from tasks.training.model import load_tokenizer

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
POCKET = ROOT / "models" / "pocket-flan"
WORDS = ("Tom", "asks", "whether", "the", "order", "arrives", "today")
SEED = 7
WIDTH = {False: 512, True: 2048}
"""On a CPU, and on a GPU."""
NUM_LAYERS = 4

CONFIGURATIONS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("t5", {}),
    ("t5", {"method": "lora"}),
    ("t5", {"optimizer": "adafactor", "batch_tokens": 512}),
    ("t5", {"gradient_checkpointing": True}),
    ("t5-tied", {"precision": "fp32", "micro_batch_tokens": 256}),
    ("llama", {"micro_batch_tokens": 1024}),
    ("llama", {"method": "lora", "gradient_checkpointing": True}),
    ("llama", {"optimizer": "adafactor", "gradient_checkpointing": True}),
    ("llama-tied", {"batch_tokens": 512}),
)
DEFAULTS: Mapping[str, Any] = {
    "epochs": 1, "batch_tokens": 2048, "micro_batch_tokens": 1024
}  # fmt: skip
"""What a configuration does not say otherwise; the precision is what a run takes on the machine."""


def write_model(name: str, width: int, num_layers: int, folder: Path) -> Path:
    """A model of random weights; a `-tied` one shares its input and output embeddings."""
    tokenizer = load_tokenizer(POCKET)
    kind, _, tied = name.partition("-")
    ends: Any = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1}
    ends["tie_word_embeddings"] = bool(tied)
    torch.manual_seed(SEED)
    model: Any
    if kind == "t5":
        sizes: Any = {"d_model": width, "d_kv": 64, "d_ff": 2 * width, "num_layers": num_layers}
        sizes |= {"num_heads": width // 64, "feed_forward_proj": "gated-gelu"}
        model = tf.T5ForConditionalGeneration(
            tf.T5Config(**ends, **sizes, decoder_start_token_id=0)
        )
    else:
        sizes = {
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": num_layers,
        }
        sizes |= {"num_attention_heads": width // 64, "num_key_value_heads": width // 128}
        model = tf.LlamaForCausalLM(tf.LlamaConfig(**ends, **sizes, bos_token_id=None))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_pairs(path: Path, num_rows: int, longest: int) -> Path:
    """Pairs of random lengths, the longest prompt of about `longest` words."""
    random = np.random.default_rng(SEED)
    lengths = random.integers(longest // 4, longest, num_rows).tolist()
    return write_rows(path, [(_words(length), _words(length // 4)) for length in lengths])


def write_rows(path: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    """Pairs of prompt and completion, as the stage split leaves them."""
    rows = [
        {"id": f"{number:016x}", "task": "words", "prompt": prompt, "completion": completion}
        for number, (prompt, completion) in enumerate(pairs)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def _words(count: int) -> str:
    return " ".join(WORDS[number % len(WORDS)] for number in range(count))


def write_job(model: Path, train: Train, longest: int, folder: Path) -> Path:
    """A training job of a few steps; returns its file."""
    folder.mkdir(parents=True)
    pairs = write_pairs(folder / "train.parquet", 2 * train.batch_tokens // longest, longest)
    few = write_pairs(folder / "validation.parquet", 4, longest)
    write_json(folder / "job.json", job_of(model, train, pairs, few, folder))
    return folder / "job.json"


def job_of(
    model: Path, train: Train, pairs: Path, validation: Path, folder: Path
) -> dict[str, Any]:
    """What a training in a folder is told (`tasks.training.job.TrainJob`)."""
    for part in ("output", "scratch"):
        (folder / part).mkdir()
    return {
        "base": str(model), "base_name": "random", "base_revision": None, "from_scratch": False,
        "allow_pickle": False, "train_file": str(pairs), "validation_file": str(validation),
        "train": train.model_dump(mode="json"), "mixture": {}, "output": str(folder / "output"),
        "scratch": str(folder / "scratch"), "tokens": str(folder / "tokens"),
        "events": str(folder / "events"),
    }  # fmt: skip


def measured(folder: Path) -> tuple[int, tuple[int, int]]:
    """Peak of the training in a folder, in bytes, and tokens of its longest example."""
    lengths = (
        np.fromfile(path, "<i4")
        for part in ("prompt", "completion")
        for path in [max(folder.rglob(f"{part}_lengths.bin"), key=lambda path: path.stat().st_size)]
    )
    prompts, completions = lengths
    longest = int((prompts + completions).argmax())
    peak = read_json(folder / "output" / "speed.json")["peak_memory_bytes"]
    return int(peak), (int(prompts[longest]), int(completions[longest]))


def compared(name: str, options: Mapping[str, Any], width: int, longest: int) -> dict[str, Any]:
    """One configuration, forecast and measured."""
    train = Train.model_validate(dict(DEFAULTS) | dict(options))
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(name, width, NUM_LAYERS, Path(folder, "model"))
        job = write_job(model, train, longest, Path(folder, "run"))
        launch("tasks.training", job, job.parent / "events", lambda event: None)
        peak, lengths = measured(job.parent)
        precision = read_json(job.parent / "output" / "summary.json")["precision"]
        found = forecast(model, train, lengths)
    if not isinstance(found, Forecast):
        raise SystemExit(f"{name} {options}: {found}")
    return {
        "model": name,
        "train": dict(options),
        "precision": precision,
        "parameters": found.footprint.parameters,
        "forecast_bytes": found.memory_bytes,
        "measured_bytes": peak,
        "error": round(found.memory_bytes / peak - 1, 4),
        "libraries_bytes": found.libraries,
        "footprint": found.footprint.model_dump(),
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    lines = ["| model | parameters | train | precision | forecast | measured | error |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for row in results:
        train = ", ".join(f"{key}: {value}" for key, value in row["train"].items())
        sizes = (f"{row[key] / 2**20:,.0f} MiB" for key in ("forecast_bytes", "measured_bytes"))
        lines.append(
            f"| {row['model']} | {row['parameters'] / 1e6:.1f} M | {train or 'defaults'} | "
            f"{row['precision']} | {' | '.join(sizes)} | {row['error']:+.1%} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Memory of training, forecast and measured.")
    parser.add_argument("--width", type=int, default=WIDTH[has_gpu()], help="of the models")
    parser.add_argument("--longest", type=int, default=200, help="words of the longest prompt")
    told = parser.parse_args()
    results = []
    for name, options in CONFIGURATIONS:
        results.append(compared(name, options, told.width, told.longest))
        print(table(results[-1:]).splitlines()[-1], flush=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    document = {"device": device, "torch": torch.__version__, "results": results}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "memory.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "memory.md").write_text(table(results), encoding="utf-8")


if __name__ == "__main__":
    main()
