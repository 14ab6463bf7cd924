"""Training on a CPU attends in the way that is fast there, which changes no result."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tasks.training.attention import pick_attention
from tasks.training.model import load_model

GPT2: Any = {"n_layer": 1, "n_head": 2, "n_embd": 16, "vocab_size": 32, "bos_token_id": 1}
LLAMA: Any = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "vocab_size": 32,
}  # fmt: skip


def picked(model: Any) -> str:
    was_training, state = model.training, torch.get_rng_state()
    assert model.config._attn_implementation == "sdpa"
    pick_attention(model)
    assert model.training == was_training
    assert torch.equal(torch.get_rng_state(), state)
    return str(model.config._attn_implementation)


def test_learned_position_biases_need_plain_operations(tiny_models: dict[str, Path]) -> None:
    model: Any = load_model(tiny_models["t5"]).eval()
    ids = torch.arange(3, 13).reshape(2, 5)
    inputs = {"input_ids": ids, "decoder_input_ids": ids}
    before = model(**inputs).logits
    assert picked(model) == "eager"
    assert torch.allclose(model(**inputs).logits, before, atol=1e-5)


@pytest.mark.parametrize(("dropout", "expected"), [(0.1, "eager"), (0.0, "sdpa")])
def test_dropout_within_attention_does_too(dropout: float, expected: str) -> None:
    config = GPT2Config(**GPT2, eos_token_id=1, attn_pdrop=dropout)
    assert picked(GPT2LMHeadModel(config)) == expected


def test_what_the_fused_kernel_can_do_is_left_to_it() -> None:
    assert picked(LlamaForCausalLM(LlamaConfig(**LLAMA))) == "sdpa"


def test_what_is_saved_says_nothing_of_it(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    model = load_model(tiny_models["t5"])
    assert picked(model) == "eager"
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path)._attn_implementation != "eager"
