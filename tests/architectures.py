"""Tiny randomly initialised models of the architectures that Retune is meant for."""

from pathlib import Path
from typing import Any

IDS = {"vocab_size": 400, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
DECODER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,  # a frozen output layer of small weights could learn nothing
}
T5 = {
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 2,
    "decoder_start_token_id": 0,
    "feed_forward_proj": "gated-gelu",
}
SIZES: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 256,
    "init_std": 0.2,
}
"""Of what is built like BART."""

BART = SIZES | {"decoder_start_token_id": 1}
PROPHETNET = {
    "hidden_size": 32,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "num_encoder_attention_heads": 2,
    "num_decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 256,
    "decoder_start_token_id": 0,
    "init_std": 0.2,
}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "t5_tied": ("T5Config", T5 | {"tie_word_embeddings": True}),
    "flan_t5": ("T5Config", T5 | {"tie_word_embeddings": False}),
    "bart": ("BartConfig", BART | {"forced_eos_token_id": 1}),
    # Sparse attention needs texts of more than 14 tokens.
    "bigbird_pegasus": ("BigBirdPegasusConfig", BART | {"block_size": 2, "num_random_blocks": 1}),
    "prophetnet": ("ProphetNetConfig", PROPHETNET),
    "nllb_moe": (
        "NllbMoeConfig",
        BART | {"num_experts": 4, "encoder_sparse_step": 2, "decoder_sparse_step": 2},
    ),
    "gpt2": (
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256, "initializer_range": 0.2},
    ),
    "llama": ("LlamaConfig", DECODER),
    "smollm": ("LlamaConfig", DECODER | {"tie_word_embeddings": True}),
    "qwen2": ("Qwen2Config", DECODER),
    "qwen3": ("Qwen3Config", DECODER | {"tie_word_embeddings": True}),
    "gemma2": ("Gemma2Config", DECODER | {"sliding_window": 16}),
    "gemma3": ("Gemma3TextConfig", DECODER | {"sliding_window": 16}),
}
"""Name -> class of its config, and the sizes that make it tiny."""


def save_architecture(name: str, folder: Path, tokenizer: Any) -> Path:
    """A model folder of random weights (seed 0) for a tokenizer of at most 400 tokens."""
    import torch
    import transformers

    kind, sizes = ARCHITECTURES[name]
    config = getattr(transformers, kind)(**IDS, **sizes)
    encoder_decoder, decoder = "AutoModelForSeq2SeqLM", "AutoModelForCausalLM"
    auto = getattr(transformers, encoder_decoder if config.is_encoder_decoder else decoder)
    torch.manual_seed(0)
    auto.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def logits(model: Any, inputs: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(**inputs).logits


def some_inputs(is_encoder_decoder: bool) -> dict[str, Any]:
    import torch

    ids = torch.arange(5, 25).reshape(2, 10)
    return {"input_ids": ids} | ({"decoder_input_ids": ids[:, :4]} if is_encoder_decoder else {})
