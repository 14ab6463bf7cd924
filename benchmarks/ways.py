"""The ways of training that benchmarks/training.py compares, each as its users would run it."""

import json
import os
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers as tf
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.memory import POCKET, ROOT, SEED
from tasks.config import Train
from tasks.prompts.library import load_prompts
from tasks.prompts.render import choose_template, render
from tasks.stage import read_json, write_json
from tasks.training.attention import attention
from tasks.training.encoding import encode_examples
from tasks.training.examples import Examples
from tasks.training.loop import Trainer
from tasks.training.memory import peak_memory_bytes
from tasks.training.model import load_model, load_tokenizer
from tasks.training.precision import has_bf16, pick_device

LEARNING_RATE = 1e-3
BATCH_TOKENS = Train().batch_tokens
LONGEST = 512
"""Tokens of an example at most, and so of a packed row."""
COMPILED = "retune_compiled"
OURS = ("retune", COMPILED)

LLAMAFACTORY = "llamafactory-cli"
HAS_BF16 = torch.cuda.is_available() or has_bf16()
"""A CPU without it emulates it, hundreds of times slower than fp32."""

COUNTED = 32
PEAK_TRIES = 20
PEAK_SIDES = {"cpu": 2048, "cuda": 8192}
"""Of matrices so large that starting their product takes no share of its time."""

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
    """Operations a second that large products of matrices reach, in fp32 or bf16."""
    device, fastest = pick_device(), 0.0
    length = PEAK_SIDES[device.type]
    for dtype in (torch.float32, torch.bfloat16) if HAS_BF16 else (torch.float32,):
        side = torch.ones(length, length, dtype=dtype, device=device)
        for _ in range(PEAK_TRIES):
            started = time.perf_counter()
            (side @ side)[0, 0].item()  # which waits for a GPU
            fastest = max(fastest, 2 * len(side) ** 3 / (time.perf_counter() - started))
    return fastest


def flops_per_token(trainer: Trainer) -> float:
    """Operations of a useful token's matrix products, forward and backward, by some examples."""
    trainer.bf16 = True  # the fused attention of fp32 is not counted by torch
    tokens = 0.0
    with attention(trainer.device), FlopCounterMode(display=False) as counter:
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
    ours = way in (*OURS, "work")
    network: Any = load_model(model) if ours else _as_others_load(model)
    is_encoder_decoder = bool(network.config.is_encoder_decoder)
    train = Train(
        epochs=epochs, learning_rate=LEARNING_RATE, batch_tokens=step_tokens, seed=SEED,
        compile=way == COMPILED,
    )  # fmt: skip
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
    num_rows = draws["chats"]
    lengths = sides["train"].prompts.lengths + sides["train"].completions.lengths
    tokens = epochs * int(lengths[:num_rows].sum())
    if way == LLAMAFACTORY:
        network, seconds, peak = _by_llamafactory(model, num_rows, train, folder)
    else:
        torch.manual_seed(SEED)
        network.train()
        started = time.monotonic()
        if judge:
            _by_retune(judge)
            tokens = judge.progress.tokens
        else:
            _by_others(way, network, tokenizer, sides["train"], num_rows, train, folder)
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


def _by_retune(trainer: Trainer) -> None:
    for epoch in range(trainer.train.epochs):
        for step in trainer._steps(epoch):
            trainer._step(step)


def _by_llamafactory(
    model: Path, num_rows: int, train: Train, folder: Path
) -> tuple[Any, float, int]:
    """Train with LLaMA-Factory, in a process of its own libraries; packed it is slower.

    Returns:
        The network, the seconds of its training loop, and on a CPU its peak of memory, in bytes.
    """
    rows = pq.read_table(folder / "train.parquet").to_pylist()[:num_rows]
    columns = ("prompt", "completion")
    write_json(folder / "chats.json", [{name: row[name] for name in columns} for row in rows])
    named = {"file_name": "chats.json", "columns": {"prompt": "prompt", "response": "completion"}}
    write_json(folder / "dataset_info.json", {"chats": named})
    settings = {
        "model_name_or_path": str(model), "stage": "sft", "finetuning_type": "full",
        "dataset": "chats", "dataset_dir": str(folder), "template": "empty", "do_train": True,
        "cutoff_len": LONGEST, "bf16": HAS_BF16, "disable_gradient_checkpointing": True,
        "per_device_train_batch_size": 8, "train_sampling_strategy": "group_by_length",
        "learning_rate": train.learning_rate, "num_train_epochs": train.epochs, "seed": SEED,
        "use_cpu": not torch.cuda.is_available(), "report_to": "none", "save_strategy": "no",
        "output_dir": str(folder / "out"),
    }  # fmt: skip
    write_json(folder / "settings.yaml", settings)  # JSON is YAML
    command = [LLAMAFACTORY, "train", str(folder / "settings.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    seconds = read_json(folder / "out" / "train_results.json")["train_runtime"]
    peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return _as_others_load(folder / "out"), seconds, peak


def _by_others(
    way: str,
    network: Any,
    tokenizer: Any,
    examples: Examples,
    num_rows: int,
    train: Train,
    folder: Path,
) -> None:
    """Train with a trainer of transformers or trl."""
    is_encoder_decoder = bool(network.config.is_encoder_decoder)
    rows = []
    for number in range(num_rows):
        prompt, completion = (
            examples.prompts[number].tolist(),
            examples.completions[number].tolist(),
        )
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
    tuned: Any = {"bf16": HAS_BF16, "learning_rate": LEARNING_RATE}
    if way == "trl":
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        tokenizer.model_max_length = BATCH_TOKENS
        settings = SFTConfig(
            **common, **tuned, packing=True, max_length=LONGEST,
            per_device_train_batch_size=BATCH_TOKENS // LONGEST,
            gradient_checkpointing=False,
        )  # fmt: skip
        SFTTrainer(
            model=network, args=settings, train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        ).train()  # fmt: skip
        return
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
