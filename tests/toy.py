"""A toy task, tiny randomly initialised models for it, and examples to score.

{"id": "00000000000000e0", "task": "echo", "prompt": "Say it again: red 3", ...}
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.pipeline import PIPELINE
from tasks.scoring.probes import SCHEMA

STAGES = tuple(stage.name for stage in PIPELINE)
"""Every stage, in the order in which they run."""

ECHO = """\
name: echo
version: 1
task: question_answering
slots: [text]
target: said
example: {text: red, said: red}
templates:
  - {name: plain, prompt: "Say the colour {{ text }} again"}
  - {name: other, prompt: "Colour: {{ text }}", heldout: true}
"""
"""The prompt file of the toy task."""

SUITE = """\
name: tiny
probes:
  - {name: echo, source: {path: data/echo.jsonl}, prompts: PROMPTS}
  - {name: echo_again, source: {path: data/echo.jsonl}, prompts: PROMPTS, metrics: [chrf],
     max_examples: 3}
"""
"""A suite of probes of that task."""

WORDS = ("red", "green", "blue", "yellow", "white", "black")


def save_model(folder: Path, kind: str, seed: int = 0) -> Path:
    """A model folder of random weights.

    Of kind "t5", "switch", "gpt2", "mamba", "minimax", "rwkv", or "llama".
    """
    import torch
    import transformers as tf

    from tasks.training.tokenizer import train_tokenizer

    texts = [f"Say it again: {word} {number}" for word in WORDS for number in range(9)]
    tokenizer = train_tokenizer(iter(texts), 340)
    shared: Any = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(seed)
    model: Any
    if kind == "t5":
        sizes: Any = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
        config: Any = tf.T5Config(**shared, **sizes, initializer_factor=3.0)
        config.decoder_start_token_id = tokenizer.pad_token_id
        model = tf.T5ForConditionalGeneration(config)
    elif kind == "switch":
        sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
        experts: Any = {"num_experts": 2, "expert_capacity": 64, "num_decoder_layers": 2}
        config = tf.SwitchTransformersConfig(**shared, **sizes, **experts, initializer_factor=3.0)
        config.decoder_start_token_id = tokenizer.pad_token_id
        model = tf.SwitchTransformersForConditionalGeneration(config)
    elif kind == "gpt2":
        config = tf.GPT2Config(
            **shared, n_embd=32, n_layer=2, n_head=2, n_positions=128, initializer_range=0.5
        )
        config.bos_token_id = None
        model = tf.GPT2LMHeadModel(config)
    elif kind == "mamba":
        config = tf.MambaConfig(
            **shared, hidden_size=32, state_size=4, num_hidden_layers=2, initializer_range=0.5
        )
        model = tf.MambaForCausalLM(config)
    elif kind == "minimax":
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3}
        heads: Any = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
        layers: Any = ["linear_attention", "full_attention", "full_attention"]
        config = tf.MiniMaxConfig(
            **shared, **sizes, **heads, layer_types=layers, num_local_experts=2, block_size=8,
            initializer_range=0.5,
        )  # fmt: skip
        config.bos_token_id = None
        model = tf.MiniMaxForCausalLM(config)
    elif kind == "rwkv":
        sizes = {"hidden_size": 32, "attention_hidden_size": 32, "intermediate_size": 64}
        config = tf.RwkvConfig(**shared, **sizes, num_hidden_layers=2, context_length=256)
        model = tf.RwkvForCausalLM(config)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.4)
    else:
        config = tf.LlamaConfig(
            **shared,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=256,
            initializer_range=0.5,
        )
        config.bos_token_id = None
        model = tf.LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def examples(task: str, num: int, first: int = 0) -> list[dict[str, Any]]:
    """Examples of one task, with prompts of different lengths."""
    rows = []
    for index in range(first, first + num):
        text = " ".join(WORDS[(index + step) % len(WORDS)] for step in range(1 + index % 5))
        rows.append(
            {
                "id": f"{task[:4]}{index:012x}",
                "task": task,
                "template": "plain",
                "prompt": f"Say it again: {text} {index}",
                "completion": f"{text} {index}",
                "references": [f"{text} {index}"],
                "label": None,
            }
        )
    return rows


def write_examples(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A parquet file as the split stage writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA), path)
    return path


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A JSON-lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_suite(folder: Path) -> Path:
    """A repository with a probe suite of its own; returns the suite's file."""
    prompts, path = folder / "echo.yaml", folder / "configs" / "forgetting" / "tiny.yaml"
    prompts.write_text(ECHO)
    rows = [{"text": f"{word} sky", "said": f"{word} sky"} for word in WORDS]
    (folder / "data").mkdir()
    write_rows(folder / "data" / "echo.jsonl", rows)
    path.parent.mkdir(parents=True)
    path.write_text(SUITE.replace("PROMPTS", str(prompts)))
    return path
