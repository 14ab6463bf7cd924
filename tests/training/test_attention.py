"""Training on a CPU attends in the way that is fast there, which changes no result."""

import math
from typing import Any

import pytest
import torch
import transformers
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tasks.training import attention, precision

IDS = torch.arange(3, 15).reshape(2, 6)
SEEN = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
T5: Any = {
    "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2,
    "decoder_start_token_id": 0, "dropout_rate": 0.0,
}  # fmt: skip
LLAMA: Any = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip
GPT2: Any = {"n_layer": 2, "n_head": 2, "n_embd": 16, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
BART: Any = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "dropout": 0.0,
    "forced_eos_token_id": None,
}  # fmt: skip
KINDS: dict[str, Any] = {
    "T5": T5, "MT5": T5, "UMT5": T5, "Bart": BART, "GPT2": GPT2 | {"attn_pdrop": 0.0},
    "Llama": LLAMA, "Qwen3": LLAMA, "Gemma": LLAMA | {"pad_token_id": 0},
    "Mistral": LLAMA | {"sliding_window": 3}, "Phi3": LLAMA | {"pad_token_id": 0},
    "GPTNeoX": LLAMA | {"num_key_value_heads": 4},
    "Falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
}  # fmt: skip
ENDS: Any = {"vocab_size": 32, "bos_token_id": 1, "eos_token_id": 1}


def model_of(kind: str, **changes: Any) -> Any:
    """A model with random weights, larger than at its start, so that attention matters."""
    config: Any = getattr(transformers, f"{kind}Config")(**ENDS | KINDS[kind] | changes)
    auto: Any = transformers.AutoModelForCausalLM
    if config.is_encoder_decoder:
        auto = transformers.AutoModelForSeq2SeqLM
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = auto.from_config(config).train()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "norm" not in name and weight.dim() > 1:
                    weight.normal_(std=0.1)
    assert model.config._attn_implementation == "sdpa"
    return model


@pytest.fixture(params=[False, True], ids=["autocast", "amx"])
def with_amx(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the processor says that it has AMX: what bf16 is depends on it."""
    monkeypatch.setattr(precision, "has_amx", lambda device: request.param)


def gradients(model: Any, bf16: bool = False, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Those of a batch with padding, weight by weight; as on another device, if one is named."""
    model.zero_grad()
    labels = IDS.masked_fill(SEEN == 0, -100)
    cpu = torch.device("cpu")
    with attention.attention(torch.device(device)), precision.products(bf16, cpu):
        with precision.autocast(bf16, cpu):
            loss = model(input_ids=IDS, attention_mask=SEEN, labels=labels, use_cache=False).loss
        loss.backward()
    return {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


def error(found: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> float:
    """The distance of all gradients from those that are right, relative to these."""
    both = zip(found.values(), right.values(), strict=True)
    missed = sum(float((f - r).square().sum()) for f, r in both)
    return math.sqrt(missed / sum(float(r.square().sum()) for r in right.values()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("with_amx")
def test_gradients_are_those_of_the_fused_kernel(kind: str) -> None:
    model = model_of(kind)
    right, rounded = (gradients(model, bf16, "cuda") for bf16 in (False, True))
    assert error(gradients(model), right) < 1e-4
    assert error(gradients(model, bf16=True), right) < 2 * error(rounded, right) + 0.02


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_biases_with_a_scale_are_those_of_the_fused_kernel(batch: int, is_causal: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        shape = (batch, 2, 5, 4)
        inputs = [torch.randn(shape) for _ in range(3)] + [torch.randn(1, 2, 5, 5)]
    found = []
    for attend in (attention._attend, sdpa_attention_forward):
        query, key, value, bias = given = [tensor.clone().requires_grad_() for tensor in inputs]
        options: Any = {"scaling": 0.5, "is_causal": is_causal, "position_bias": bias}
        states = attend(torch.nn.Module(), query, key, value, None, **options)[0]
        states.square().sum().backward()
        found.append([states, *(tensor.grad for tensor in given)])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("kind", ["T5", "GPT2", "Llama"])
@pytest.mark.usefixtures("with_amx")
def test_which_of_the_two_is_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fused: list[int] = []
    kernel = attention.sdpa_attention_forward

    def counted(*given: Any, **named: Any) -> Any:
        fused.append(given[1].size(2))
        return kernel(*given, **named)

    monkeypatch.setattr(attention, "sdpa_attention_forward", counted)
    model = model_of(kind)
    gradients(model, bf16=True)
    assert not fused
    gradients(model)
    assert bool(fused) == (kind != "T5")
    fused.clear()
    monkeypatch.setattr(attention, "SHORT", 5)
    gradients(model, bf16=True)
    assert bool(fused) == (kind != "T5")


@pytest.mark.parametrize(("kind", "name"), [("T5", "dropout_rate"), ("GPT2", "attn_pdrop")])
def test_weights_are_dropped_where_the_model_says_so(kind: str, name: str) -> None:
    model = model_of(kind, **{name: 0.5})
    gpt2 = kind == "GPT2"
    layer = model.transformer.h[0].attn if gpt2 else model.encoder.block[0].layer[0].SelfAttention
    states = torch.rand(1, 6, 16)
    with torch.random.fork_rng(), attention.attention(states.device):
        once, again = layer(states)[0], layer(states)[0]
        assert not torch.allclose(once, again)
        layer.eval()
        assert torch.equal(layer(states)[0], layer(states)[0])


def test_afterwards_attention_is_that_of_transformers() -> None:
    with attention.attention(torch.device("cpu")):
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is not sdpa_attention_forward
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is sdpa_attention_forward
