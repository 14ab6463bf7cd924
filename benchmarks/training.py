"""Useful tokens a second in training, ours against what a user would pick instead.

    python benchmarks/training.py --model models/pocket-flan --epochs 1 --rounds 3

Fine-tunes one model on the support chats in several ways, each in a process of its own, in turn,
so that what else the machine does hits all of them: `retune`, the training loop of the product, in
as many processes as it chooses;
`defaults`, the transformers trainer with nothing set but data and epochs; `tuned_N`, the same
trainer with bf16, batches of N examples grouped by length and the product's learning rate;
`tuned_N_fp32`, that without bf16, which is faster on some CPUs; for decoder-only models also `trl`,
trl.SFTTrainer with packing, where it is installed. A way that ends in `_each_core` is the same on a
CPU with a process of one thread for each core, started by torchrun. `--model llama` and `--model
t5-small` (or `t5-base`, `t5-tiny`) make models of random weights of that shape.

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
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers as tf
from torch.utils.flop_counter import FlopCounterMode

from tasks.config import Train
from tasks.launch import environment
from tasks.prompts.library import load_prompts
from tasks.prompts.render import choose_template, render
from tasks.room import num_cores
from tasks.training.cost import launch_of
from tasks.training.encoding import encode_examples
from tasks.training.examples import Examples
from tasks.training.loop import Trainer
from tasks.training.memory import peak_memory_bytes
from tasks.training.model import load_model, load_tokenizer
from tasks.training.precision import pick_device

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
POCKET = ROOT / "models" / "pocket-flan"
LEARNING_RATE = 1e-3
BATCH_TOKENS = Train().batch_tokens
TUNED = ("tuned_8", "tuned_16", "tuned_32", "tuned_8_fp32", "tuned_16_fp32")
EACH_CORE = "_each_core"
ON_EACH_CORE = ("tuned_8", "tuned_8_fp32")
SEED = 7
COUNTED = 32
PEAK_SIDE, PEAK_TRIES = 2048, 20
T5_SIZES: dict[str, dict[str, int]] = {
    "t5-tiny": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
    "t5-small": {"d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_heads": 6},
    "t5-base": {
        "d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12,
        "vocab_size": 32_128,
    },
}  # fmt: skip
"""Those of T5 v1.1; where none is given, the vocabulary is that of the tokenizer."""


def model_folder(name: str, folder: Path) -> Path:
    """The model of a name: a folder, or one of random weights with the embedded tokenizer."""
    if Path(name).is_dir():
        return Path(name).absolute()
    tokenizer = load_tokenizer(POCKET)
    shared: Any = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(SEED)
    model: Any
    if name in T5_SIZES:
        sizes: Any = shared | T5_SIZES[name]
        gated: Any = {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0}
        model = tf.T5ForConditionalGeneration(tf.T5Config(**sizes, **gated))
    elif name == "llama":
        sizes = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6}
        heads: Any = {"num_attention_heads": 4, "num_key_value_heads": 4}
        model = tf.LlamaForCausalLM(tf.LlamaConfig(**shared, **sizes, **heads, bos_token_id=None))
    else:
        raise SystemExit(f"--model: a folder, {', '.join(T5_SIZES)} or llama, not {name}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pairs(split: str, path: Path) -> Path:
    """The prompt-completion pairs of one side of the support chats, as a Parquet file."""
    prompts = load_prompts("dialogue_summary")
    lines = (ROOT / "data" / "support_chat.jsonl").read_text(encoding="utf-8").splitlines()
    rows = []
    for record in map(json.loads, lines):
        if record["split"] == split:
            template = choose_template(record["id"], prompts.training, SEED)
            pair = render(prompts, record, template)
            rows.append({"id": f"{len(rows):016x}", "task": "chats", **vars(pair)})
    columns = ("id", "task", "prompt", "completion")
    pq.write_table(pa.Table.from_pylist([{n: row[n] for n in columns} for row in rows]), path)
    return path


def peak_flops_per_s() -> float:
    """Operations a second that large products of matrices reach, in bf16 or fp32."""
    device, fastest = pick_device(), 0.0
    for dtype in (torch.bfloat16, torch.float32):
        side = torch.ones(PEAK_SIDE, PEAK_SIDE, dtype=dtype, device=device)
        for _ in range(PEAK_TRIES):
            started = time.perf_counter()
            (side @ side)[0, 0].item()  # which waits for a GPU
            fastest = max(fastest, 2 * len(side) ** 3 / (time.perf_counter() - started))
    return fastest


def flops_per_token(trainer: Trainer) -> float:
    """Operations of a useful token's matrix products, forward and backward, by some examples."""
    trainer.bf16 = True  # the fused attention of fp32 is not counted by torch
    tokens = 0.0
    with FlopCounterMode(display=False) as counter:
        for row in range(min(COUNTED, len(trainer.examples))):
            tokens += trainer._gradients([np.array([row])], 1)[1]
    trainer.optimizer.zero_grad()
    return counter.get_total_flops() / tokens


def measured(
    way: str, model: Path, epochs: int, rows: int, step_tokens: int, folder: Path
) -> dict[str, float]:
    """Train in one way, in this process; or say what a token takes (`work`)."""
    tf.utils.logging.set_verbosity_error()
    tokenizer = load_tokenizer(model)
    ours = way in ("retune", "work")
    network: Any = load_model(model) if ours else _as_others_load(model)
    is_encoder_decoder = bool(network.config.is_encoder_decoder)
    train = Train(epochs=epochs, learning_rate=LEARNING_RATE, batch_tokens=step_tokens, seed=SEED)
    sides = {}
    for split in ("train", "test"):
        path = pairs(split, folder / f"{split}.parquet")
        sides[split] = encode_examples(path, tokenizer, is_encoder_decoder, train, folder / "ids")
    draws = {"chats": min(rows, len(sides["train"]))}

    def trainer() -> Trainer:
        both = sides["train"], sides["test"]
        places = folder / "scratch", folder / "events"
        return Trainer(network, tokenizer, *both, draws, train, *places)

    if way == "work":
        return {"flops_per_token": flops_per_token(trainer()), "peak": peak_flops_per_s()}
    judge = trainer() if ours else None  # the others distribute the network themselves
    torch.manual_seed(SEED)
    network.train()
    started = time.monotonic()
    if judge:
        for epoch in range(epochs):
            for step in judge._steps(epoch):
                judge._step(step)
        tokens = judge.progress.tokens
    else:
        tokens = _by_others(way, network, tokenizer, sides["train"], draws["chats"], train, folder)
    seconds, peak = time.monotonic() - started, peak_memory_bytes()
    judge = judge or trainer()
    loss, _ = judge.validate()
    [peaks] = judge.processes.sums([peak], judge.device)
    return {
        "seconds": round(seconds, 2),
        "useful_tokens_per_s": round(tokens / seconds, 1),
        "loss": round(loss, 4),
        "peak_memory_bytes": round(peaks),
    }


def _as_others_load(model: Path) -> Any:
    config = tf.AutoConfig.from_pretrained(model)
    auto = tf.AutoModelForSeq2SeqLM if config.is_encoder_decoder else tf.AutoModelForCausalLM
    return auto.from_pretrained(model, dtype=torch.float32)


def _by_others(
    way: str,
    network: Any,
    tokenizer: Any,
    examples: Examples,
    num_rows: int,
    train: Train,
    folder: Path,
) -> int:
    """Train with a trainer of transformers or trl; returns the useful tokens."""
    is_encoder_decoder = bool(network.config.is_encoder_decoder)
    rows, tokens = [], 0
    for number in range(num_rows):
        prompt, completion = (
            examples.prompts[number].tolist(),
            examples.completions[number].tolist(),
        )
        tokens += len(prompt) + len(completion)
        if is_encoder_decoder:
            rows.append({"input_ids": prompt, "labels": completion})
        else:
            labels = [-100] * len(prompt) + completion
            rows.append({"input_ids": prompt + completion, "labels": labels})
    common: Any = {
        "output_dir": str(folder / "out"),
        "num_train_epochs": train.epochs,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": SEED,
        "use_cpu": not torch.cuda.is_available(),
    }
    tuned: Any = {"bf16": True, "learning_rate": LEARNING_RATE}
    if way == "trl":
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        tokenizer.model_max_length = BATCH_TOKENS
        settings = SFTConfig(
            **common, **tuned, packing=True, max_length=512,
            per_device_train_batch_size=BATCH_TOKENS // 512, gradient_checkpointing=False,
        )  # fmt: skip
        SFTTrainer(
            model=network, args=settings, train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        ).train()  # fmt: skip
        return tokens * train.epochs
    collator = tf.DataCollatorForSeq2Seq(tokenizer, network if is_encoder_decoder else None)
    if way.startswith("tuned_"):
        size, *rest = way.removeprefix("tuned_").split("_")
        common |= tuned | {
            "bf16": "fp32" not in rest,
            "per_device_train_batch_size": int(size) // int(os.environ.get("WORLD_SIZE", "1")),
            "train_sampling_strategy": "group_by_length",
        }
    kinds: Any = (
        (tf.Seq2SeqTrainer, tf.Seq2SeqTrainingArguments)
        if is_encoder_decoder
        else (tf.Trainer, tf.TrainingArguments)
    )
    trainer = kinds[0](
        model=network, args=kinds[1](**common), train_dataset=rows,
        data_collator=collator, processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    return tokens * train.epochs


def in_a_process(
    way: str, model: Path, epochs: int, rows: int, step_tokens: int
) -> dict[str, float]:
    """Measure one way in a process of its own."""
    command = [str(Path(__file__)), "--way", way, "--model", str(model)]
    command += ["--epochs", str(epochs), "--rows", str(rows), "--batch-tokens", str(step_tokens)]
    ours = launch_of(Train(batch_tokens=step_tokens), model).num_per_node
    processes = {"retune": ours}.get(way, num_cores() if way.endswith(EACH_CORE) else 1)
    if processes > 1:
        torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = ["-m", *torchrun, *command]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False,
        env=environment(processes) if way == "retune" else None,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{way}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def ways_of(model: Path) -> list[str]:
    """What is compared for a model."""
    is_encoder_decoder = bool(tf.AutoConfig.from_pretrained(model).is_encoder_decoder)
    has_trl = importlib.util.find_spec("trl") is not None
    extra = ["trl"] if has_trl and not is_encoder_decoder else []
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
