"""Useful tokens a second in training, ours against what a user would pick instead.

    python benchmarks/training.py --model models/pocket-flan --epochs 1 --rounds 3

Fine-tunes one model on the support chats in several ways, each in a process of its own, in turn, so
that what else the machine does hits all of them: `retune`, the training loop of the product, in as
many processes as it chooses; `retune_compiled`, where asked for, with `train.compile`, the time of
compiling included, so that it takes many epochs; `defaults`, the transformers trainer with nothing
set but data and epochs; `tuned_N`, the same trainer with bf16 (not on a CPU that has none), batches
of N examples grouped by length and the product's learning rate; `tuned_N_fp32`, that without bf16,
which is faster on some CPUs; for decoder-only models also `trl`, trl.SFTTrainer with packing, where
it is installed, and `llamafactory-cli`, LLaMA-Factory with batches of 8 grouped by length, where
that command is on the PATH: it needs an environment of its own, since it asks for older libraries.
A way that ends in `_each_core` is the same on a CPU with a process of one thread for each core,
started by torchrun. `--model llama` and `--model t5-small` (or `t5-base`, `t5-tiny`) make models of
random weights of that shape.

Useful tokens are those of prompt and completion without padding; the loss is that of the same
validation examples after training, computed by the same code. Ratios are medians over the rounds.
The share of the peak is that of the operations which the matrix products of useful tokens take,
forward and backward, in what large products reach on all cores (on the GPU, where there is one).
Results go to benchmarks/results/training.json and training.md.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers as tf

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.memory import POCKET, RESULTS  # noqa: E402
from benchmarks.ways import (  # noqa: E402
    BATCH_TOKENS,
    HAS_BF16,
    LLAMAFACTORY,
    OURS,
    measured,
    model_folder,
)
from tasks.config import Train  # noqa: E402
from tasks.launch import environment  # noqa: E402
from tasks.room import num_cores  # noqa: E402
from tasks.training.cost import launch_of  # noqa: E402

TUNED_BF16 = ("tuned_8", "tuned_16", "tuned_32")
TUNED = (*(TUNED_BF16 if HAS_BF16 else ()), "tuned_8_fp32", "tuned_16_fp32")
EACH_CORE = "_each_core"
ON_EACH_CORE = tuple(way for way in TUNED if way.startswith("tuned_8"))


def in_a_process(
    way: str, model: Path, epochs: int, rows: int, step_tokens: int
) -> dict[str, float]:
    """Measure one way in a process of its own."""
    command = [str(Path(__file__)), "--way", way, "--model", str(model)]
    command += ["--epochs", str(epochs), "--rows", str(rows), "--batch-tokens", str(step_tokens)]
    ours = launch_of(Train(batch_tokens=step_tokens), model).num_per_node
    processes = ours if way in OURS else num_cores() if way.endswith(EACH_CORE) else 1
    if processes > 1:
        torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = ["-m", *torchrun, *command]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False,
        env=environment(processes) if way in OURS else None,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{way}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def ways_of(model: Path) -> list[str]:
    """What is compared for a model."""
    is_encoder_decoder = bool(tf.AutoConfig.from_pretrained(model).is_encoder_decoder)
    installed = {"trl": importlib.util.find_spec("trl"), LLAMAFACTORY: shutil.which(LLAMAFACTORY)}
    extra = [] if is_encoder_decoder else [way for way, found in installed.items() if found]
    each = [] if torch.cuda.is_available() else [f"{way}{EACH_CORE}" for way in ON_EACH_CORE]
    return ["retune", "defaults", *TUNED, *extra, *each]


def compared(
    name: str,
    epochs: int,
    rows: int,
    rounds: int,
    step_tokens: int = BATCH_TOKENS,
    ways: Sequence[str] = (),
) -> dict[str, Any]:
    """Some ways of training one model, or all, in turn, over the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        model = model_folder(name, Path(folder))
        ways = ways or ways_of(model)
        work = in_a_process("work", model, epochs, rows, step_tokens)
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way in ways:
                runs[way].append(in_a_process(way, model, epochs, rows, step_tokens))
                print(name, way, runs[way][-1], file=sys.stderr)
    figures = {}
    for way in ways:
        ratios = [
            ours["useful_tokens_per_s"] / theirs["useful_tokens_per_s"]
            for ours, theirs in zip(runs["retune"], runs[way], strict=True)
        ]
        medians = {key: statistics.median(run[key] for run in runs[way]) for key in runs[way][0]}
        flops = medians["useful_tokens_per_s"] * work["flops_per_token"]
        figures[way] = {
            **medians,
            "share_of_peak": round(flops / work["peak"], 3),
            "retune_is_faster_by": round(statistics.median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
        }
    return {
        "model": Path(name).name,
        "epochs": epochs,
        "rows": rows,
        "rounds": rounds,
        "batch_tokens": step_tokens,
        **work,
        "ways": figures,
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| model | way | useful tokens/s | of peak | retune faster by | lowest-highest | loss | "
        "memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        for way, row in result["ways"].items():
            lines.append(
                f"| {result['model']} | {way} | {row['useful_tokens_per_s']:,.0f} | "
                f"{row['share_of_peak']:.0%} | "
                f"{row['retune_is_faster_by']:.2f} | {row['lowest']:.2f}-{row['highest']:.2f} | "
                f"{row['loss']:.3f} | {row['peak_memory_bytes'] / 2**30:.2f} GiB |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compare ways of training, side by side.")
    parser.add_argument("--model", nargs="+", default=[str(POCKET), "llama"])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1000, help="training examples, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-tokens", type=int, default=BATCH_TOKENS, help="in a step of ours")
    parser.add_argument("--ways", nargs="+", default=[], help="retune and others; else all")
    parser.add_argument("--way", help="measure this one alone and print it as JSON")
    told = parser.parse_args()
    if told.way:
        with tempfile.TemporaryDirectory() as folder:
            figures = measured(
                told.way, Path(told.model[0]), told.epochs, told.rows, told.batch_tokens,
                Path(folder),
            )  # fmt: skip
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(figures))
        return
    results = [
        compared(name, told.epochs, told.rows, told.rounds, told.batch_tokens, told.ways)
        for name in told.model
    ]
    RESULTS.mkdir(exist_ok=True)
    machine = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    document = {"machine": machine, "results": results}
    (RESULTS / "training.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "training.md").write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
