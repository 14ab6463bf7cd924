"""Attention of a model that trains on a CPU: plain products or the fused kernel, the faster one."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.functional import dropout as drop
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

SHORT = 512
"""Up to this many tokens, plain products in bf16 are faster than torch's fused kernel: forward and
backward together 2.3 to 4.6 times at 64 and 128 tokens, 1.1 to 1.9 times at 256 to 512, and slower
at 1,024 (4 to 16 heads, one and two cores of an AMD EPYC; with AMX 3.4 to 4.5 times and 0.9 to 1.9
times). In fp32 they were slower at each."""


@contextmanager
def attention(device: torch.device) -> Iterator[None]:
    """Within it, models that attend by torch's fused kernels do so by `_attend`; a GPU's do not.

    Args:
        device: The model's. What its configuration says stays as it is.
    """
    if device.type != "cpu":
        yield
        return
    ALL_ATTENTION_FUNCTIONS["sdpa"] = _attend
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]  # type: ignore[no-untyped-call]


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers asks for it; takes and returns what `sdpa_attention_forward` does.

    In plain products where the sequences are short, and where the fused kernel can't be used:
    with dropout of attention weights, or with position biases that are learned, as T5 has them.

    Args:
        module: The layer.
        query: Shape (batch, heads, queries, width).
        key: Shape (batch, heads or fewer, keys, width).
        value: Shape of the key.
        attention_mask: What is seen, or what is added to the scores, shape
            (batch, 1 or heads, queries, keys).
        dropout: Share of the weights that is dropped.
        scaling: Factor of the scores; None for 1 / sqrt(width).
        is_causal: Whether no later token is seen, where there is no mask; None: as the layer says.
        position_bias: Added to the scores, shape (1, heads, queries, keys).
        others: What only some kernels know.

    Returns:
        What is attended to, shape (batch, queries, heads, width), and no weights.
    """
    given = value.dtype
    with_amx = torch.get_float32_matmul_precision() == "medium"  # see `precision.products`
    in_bf16 = with_amx or given == torch.bfloat16
    is_short = in_bf16 and max(query.size(2), key.size(2)) <= SHORT
    is_plain = dropout > 0 or position_bias is not None or is_short
    if not is_plain:
        options: Any = {"dropout": dropout, "scaling": scaling, "is_causal": is_causal}
        options |= others | {"position_bias": position_bias}
        with torch.autocast("cpu", torch.bfloat16) if with_amx else nullcontext():
            seen, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return seen.to(given), None
    dtype, groups = torch.bfloat16 if in_bf16 else given, query.size(1) // key.size(1)
    query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    if is_causal is None:
        is_causal = bool(getattr(module, "is_causal", True))
    if attention_mask is None and is_causal and query.size(2) > 1:
        attention_mask = torch.ones(query.size(2), key.size(2), dtype=torch.bool).tril()
    scaling = scaling or query.size(-1) ** -0.5
    inputs = query, key, attention_mask, position_bias, scaling
    weights = drop(_Weights.apply(*inputs), dropout)  # type: ignore[no-untyped-call]
    return torch.matmul(weights, value).transpose(1, 2).contiguous().to(given), None


class _Weights(torch.autograd.Function):
    """Attention weights: softmax(scaling * q k' + position bias, where the mask lets see).

    The scores, which are many, are changed in place, and what is kept has the type of the query:
    by operations with gradients of their own, autocast would copy them to fp32 and back.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        mask: torch.Tensor | None,
        position_bias: torch.Tensor | None,
        scaling: float,
    ) -> torch.Tensor:
        scores = torch.matmul(query, key.transpose(2, 3))
        if scaling != 1:
            scores.mul_(scaling)
        if position_bias is not None:
            # In fp32, also with autocast: T5 does not scale, so that scores can be large.
            scores = scores.to(position_bias.dtype).add_(position_bias)
        least = torch.finfo(scores.dtype).min  # a row without anything to see has no softmax
        if mask is not None and mask.dtype == torch.bool:
            scores.masked_fill_(mask.logical_not(), least)
        elif mask is not None:
            scores.add_(mask.clamp(min=least).to(scores.dtype))
        weights = scores.softmax(-1).to(query.dtype)
        ctx.save_for_backward(query, key, weights)
        ctx.scaling = scaling
        if position_bias is not None:
            ctx.shape, ctx.dtype = position_bias.shape, position_bias.dtype
        return weights

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        query, key, weights = ctx.saved_tensors
        scores = torch._softmax_backward_data(gradients[0], weights, -1, weights.dtype)
        has_bias = ctx.needs_input_grad[3]
        by_bias = scores.sum_to_size(ctx.shape).to(ctx.dtype) if has_bias else None
        by_query, by_key = torch.matmul(scores, key), torch.matmul(scores.transpose(2, 3), query)
        if ctx.scaling != 1:
            by_query, by_key = by_query.mul_(ctx.scaling), by_key.mul_(ctx.scaling)
        return by_query, by_key, None, by_bias, None
