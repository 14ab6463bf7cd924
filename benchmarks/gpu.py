"""Training on a GPU: how much of its peak is used, and how much faster than the usual trainer.

    python benchmarks/gpu.py            a CUDA GPU of 80 GB, 25 GB of temporary disk
    python benchmarks/gpu.py --smoke    tiny models, on a CPU too: that it runs, not how fast

`utilisation`: a decoder-only model of 1 billion random weights is trained by the process that
`retune run` starts, on examples of 2,048 tokens that are all supervised but the first two. The
model FLOPs utilisation is that of PaLM (arXiv 2204.02311), appendix B, from the median rate of the
steps after the first few. `compiled`, which comes last: the same with `train.compile`.

`speedup`: a model of random weights in the shape of T5 v1.1 base, all of which are trained on the
support chats by the loop of the product and by `Seq2SeqTrainer` with nothing set but data and
epochs, as in benchmarks/training.py.

Peak memory is what torch allocated at most, beside what `retune plan` forecasts. Each result goes
at once to benchmarks/results/gpu.json and gpu.md, which keep those of other `--parts` on the same
GPU.
Besides torch, transformers and peft it needs what recipes and pairs are read with: pydantic,
ruamel.yaml, jinja2 and pyarrow.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import transformers as tf

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import training  # noqa: E402
from benchmarks.memory import POCKET, RESULTS, SEED, job_of, write_rows  # noqa: E402
from tasks.config import Train  # noqa: E402
from tasks.launch import launch  # noqa: E402
from tasks.stage import read_json, write_json  # noqa: E402
from tasks.training.forecast import Forecast, forecast  # noqa: E402
from tasks.training.model import load_tokenizer  # noqa: E402

PARTS = ("utilisation", "speedup", "compiled")
PROMPT = "the"
AROUND_WORDS = 3
"""Tokens of an example besides the words of its completion: the prompt, its end, the stop token."""

PEAK_FLOPS: Mapping[str, float] = {
    "NVIDIA H200": 989e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
}
"""Dense bf16 operations a second, by the data sheets."""


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Attributes:
        model: Of the decoder-only model.
        tokens: In each of its examples.
        batch_tokens: In a step.
        micro_batch_tokens: In a pass.
        steps: Trained in all.
        warmup: Of these, steps that do not count.
        encoder_decoder: The other model, by its name in benchmarks/training.py.
        rows: Examples of an epoch of that.
        epochs: Trained in all.
        step_tokens: In a step of the product's loop.
    """

    model: Mapping[str, int]
    tokens: int
    batch_tokens: int
    micro_batch_tokens: int
    steps: int
    warmup: int
    encoder_decoder: str
    rows: int
    epochs: int
    step_tokens: int


FULL = Size(
    model={
        "vocab_size": 32_000, "hidden_size": 2048, "intermediate_size": 5504,
        "num_hidden_layers": 18, "num_attention_heads": 16, "num_key_value_heads": 16,
        "max_position_embeddings": 2048,
    },
    tokens=2048, batch_tokens=65_536, micro_batch_tokens=16_384, steps=24, warmup=4,
    encoder_decoder="t5-base", rows=1000, epochs=5, step_tokens=16_384,
)  # fmt: skip

SMOKE = Size(
    model={
        "vocab_size": 4096, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 128,
    },
    tokens=128, batch_tokens=512, micro_batch_tokens=256, steps=4, warmup=1,
    encoder_decoder="t5-tiny", rows=16, epochs=1, step_tokens=1024,
)  # fmt: skip


def write_model(size: Size, folder: Path) -> tf.LlamaConfig:
    """A model folder without weights, for a training from scratch."""
    tokenizer = load_tokenizer(POCKET)
    config = tf.LlamaConfig(**size.model, pad_token_id=0, eos_token_id=1, bos_token_id=None)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return config


def write_examples(path: Path, tokens: int, count: int) -> Path:
    """`count` pairs of `tokens` tokens each, of random words of one token."""
    tokenizer = load_tokenizer(POCKET)
    pieces = (tokenizer.decode([number]).strip() for number in range(len(tokenizer)))
    words = sorted({word for word in pieces if word.isascii() and word.isalpha()})
    lengths = [len(ids) for ids in tokenizer([f"{w} {w} {w}" for w in words]).input_ids]
    whole = [word for word, length in zip(words, lengths, strict=True) if length == min(lengths)]
    drawn = np.random.default_rng(SEED).choice(whole, (count, tokens - AROUND_WORDS))
    return write_rows(path, [(PROMPT, " ".join(row)) for row in drawn])


def flops_per_token(parameters: int, layers: int, heads: int, head_width: int, tokens: int) -> int:
    """Operations that a token of a training takes, forward and backward (PaLM, appendix B).

    Args:
        parameters: Those that a token is multiplied with.
        layers: Of the model.
        heads: Of each layer.
        head_width: Of each head.
        tokens: In an example; attention counts in full, though half of it is masked.
    """
    return 6 * parameters + 12 * layers * heads * head_width * tokens


def utilisation(size: Size, compiles: bool, peak_flops: float) -> dict[str, Any]:
    """Train the decoder-only model; what it reached."""
    train = Train(
        epochs=1, batch_tokens=size.batch_tokens, micro_batch_tokens=size.micro_batch_tokens,
        learning_rate=1e-4, precision="bf16", compile=compiles, max_completion_tokens=size.tokens,
        packing=True,
    )  # fmt: skip
    rates: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write_model(size, folder / "model")
        count = size.steps * size.batch_tokens // size.tokens
        pairs = write_examples(folder / "train.parquet", size.tokens, count)
        few = write_examples(folder / "validation.parquet", size.tokens, 2)
        job = job_of(folder / "model", train, pairs, few, folder) | {"from_scratch": True}
        write_json(folder / "job.json", job)

        def listen(event: Mapping[str, Any]) -> None:
            if event["event"] == "step":
                rates.append(event["tokens_per_s"])

        lengths = AROUND_WORDS - 1, size.tokens - AROUND_WORDS + 1
        expected = forecast(folder / "model", train, lengths)
        launch("tasks.training", folder / "job.json", Path(job["events"]), listen)
        summary, speed = (read_json(folder / "output" / f"{n}.json") for n in ("summary", "speed"))
    assert summary["tokens"] == count * size.tokens, "examples of another length"
    lookups = config.vocab_size * config.hidden_size  # the input embedding multiplies nothing
    flops = flops_per_token(
        summary["parameters"] - lookups, config.num_hidden_layers, config.num_attention_heads,
        config.head_dim, size.tokens,
    )  # fmt: skip
    counted = rates[size.warmup :]
    return {
        "parameters": summary["parameters"],
        "tokens": size.tokens,
        "compile": compiles,
        "steps": len(counted),
        "tokens_per_s": statistics.median(counted),
        "lowest": min(counted),
        "highest": max(counted),
        "flops_per_token": flops,
        "utilisation": round(flops * statistics.median(counted) / peak_flops, 4),
        "peak_memory_bytes": speed["peak_memory_bytes"],
        "forecast_bytes": expected.memory_bytes if isinstance(expected, Forecast) else 0,
    }


def speedup(size: Size, rounds: int) -> dict[str, Any]:
    """Train the encoder-decoder in both ways."""
    ways = ("retune", "defaults")
    return training.compared(
        size.encoder_decoder, size.epochs, size.rows, rounds, size.step_tokens, ways
    )


def table(document: Mapping[str, Any]) -> str:
    """The results as Markdown tables, one for each part that ran."""
    lines = [
        "| parameters | tokens | compile | tokens/s | lowest-highest | utilisation | memory | "
        "forecast |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = [*document.get("utilisation", []), *document.get("compiled", [])]
    for row in rows:
        lines.append(
            f"| {row['parameters'] / 1e9:.3f} billion | {row['tokens']:,} | {row['compile']} | "
            f"{row['tokens_per_s']:,.0f} | {row['lowest']:,.0f}-{row['highest']:,.0f} | "
            f"{row['utilisation']:.3f} | {row['peak_memory_bytes'] / 2**30:.2f} GiB | "
            f"{row['forecast_bytes'] / 2**30:.2f} GiB |"
        )
    parts = [f"Device: {document['device']}, torch {document['torch']}.\n"]
    parts += ["\n".join(lines) + "\n"] if rows else []
    parts += [training.table(document["speedup"])] if "speedup" in document else []
    return "\n".join(parts)


def refuse(text: str) -> NoReturn:
    """Say what is missing, and end as bad input does."""
    print(text, file=sys.stderr)
    raise SystemExit(2)


def peak_flops_of(device: str, told: float | None) -> float:
    """The peak of the GPU: as told, or by its name."""
    peak = told or PEAK_FLOPS.get(device)
    if peak is None:
        known = ", ".join(PEAK_FLOPS)
        refuse(f"--peak-flops: expected the dense bf16 peak of {device}; known are {known}")
    return peak


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure training on a GPU.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3, help="of the speedup")
    parser.add_argument("--peak-flops", type=float, help="of the GPU, dense bf16, a second")
    parser.add_argument("--smoke", action="store_true", help="tiny models; measures nothing")
    told = parser.parse_args(arguments)
    has_gpu = torch.cuda.is_available()
    if not has_gpu and not told.smoke:
        refuse(
            "benchmarks/gpu.py: expected a CUDA GPU, found none that torch can use; run it on one, "
            "or with --smoke to see that it runs"
        )
    device = torch.cuda.get_device_name() if has_gpu else "cpu"
    size, rounds = (SMOKE, 1) if told.smoke else (FULL, told.rounds)
    peak = 1e12 if told.smoke else peak_flops_of(device, told.peak_flops)
    document: dict[str, Any] = {"device": device, "torch": torch.__version__, "peak_flops": peak}
    if not told.smoke:
        document |= earlier(document)
    measure: Mapping[str, Callable[[], dict[str, Any]]] = {
        "utilisation": partial(utilisation, size, False, peak),
        "speedup": partial(speedup, size, rounds),
        "compiled": partial(utilisation, size, True, peak),
    }
    for part in told.parts:
        document[part] = [measure[part]()]
        print(table(document), flush=True)
        if not told.smoke:  # at once: what comes next may take too long
            write_json(RESULTS / "gpu.json", document)
            (RESULTS / "gpu.md").write_text(table(document), encoding="utf-8")
    if told.smoke:
        print("This was a smoke run of tiny models: no measurement, and nothing was written.")


def earlier(machine: Mapping[str, Any]) -> dict[str, Any]:
    """The results of other parts that were measured on the same machine."""
    path = RESULTS / "gpu.json"
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found if machine.items() <= found.items() else {}


if __name__ == "__main__":
    main()
