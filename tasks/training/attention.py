"""How a model attends while it trains on a CPU."""

import warnings
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel


def pick_attention(model: PreTrainedModel) -> None:
    """Have it written out in plain operations, where torch's fused kernel can't be used.

    It can't with dropout within attention, nor with position biases that are learned, as T5 has
    them. Torch then falls back on a path that handles every case, with which pocket-flan trained
    3,342 instead of 3,487 tokens a second (one core, means of four rounds in turn). Found out by
    trying; a GPU has kernels for both.

    Args:
        model: A decoder-only or an encoder-decoder model, on its device; its mode is kept.
    """
    if model.device.type != "cpu" or model.config._attn_implementation != "sdpa":
        return
    was_training = model.training
    inputs: dict[str, Any] = {"input_ids": torch.zeros(1, 2, dtype=torch.long)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # why the kernel can't be used
            torch.random.fork_rng(devices=[]),
            sdpa_kernel(SDPBackend.FLASH_ATTENTION),
        ):
            model.train()(**inputs, use_cache=False)
    except RuntimeError:
        model.set_attn_implementation("eager")
    finally:
        model.train(was_training)
