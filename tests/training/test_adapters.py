"""Which layers of an architecture get adapters, and what becomes of tied weights in a merge."""

from pathlib import Path
from typing import Any

import pytest

from tasks.config.train import Lora
from tasks.errors import BadRecipe
from tests.architectures import DECODER, logits, some_inputs


@pytest.mark.parametrize(
    ("config", "sizes", "layers"),
    [
        ("MambaConfig", {"state_size": 4}, {"in_proj", "x_proj", "dt_proj"}),
        (
            "Llama4TextConfig",
            DECODER | {"intermediate_size_mlp": 64, "num_local_experts": 2},
            {f"{part}_proj" for part in ("q", "k", "v", "o", "gate", "up", "down")},
        ),
        (
            "DeepseekV4Config",
            DECODER,
            {f"{part}_proj" for part in ("q_a", "q_b", "kv", "o_b", "gate", "up", "down")},
        ),
    ],
)
def test_layers_that_can_have_no_adapter_are_left_out(
    config: str, sizes: dict[str, Any], layers: set[str]
) -> None:
    import transformers

    from tasks.config import Train
    from tasks.training.adapters import with_adapters

    given = sizes | {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 1}
    base = transformers.AutoModelForCausalLM.from_config(getattr(transformers, config)(**given))
    model = with_adapters(base, Train(method="lora"))
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == layers
    model(**some_inputs(False))


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        ("ZambaConfig", {"attention_hidden_size": 64, "attention_head_dim": 32}),
        ("Zamba2Config", {"mamba_headdim": 16, "n_mamba_heads": 4, "num_mem_blocks": 1}),
    ],
)
def test_layers_that_share_their_weights_are_left_out(config: str, sizes: dict[str, Any]) -> None:
    import torch
    import transformers

    from tasks.config import Train
    from tasks.training.adapters import with_adapters

    given = {name: DECODER[name] for name in ("hidden_size", "intermediate_size")} | sizes
    given |= {"num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 99}
    given |= {"num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid"] * 2}
    base = transformers.AutoModelForCausalLM.from_config(getattr(transformers, config)(**given))
    model = with_adapters(base, Train(method="lora"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    inputs = some_inputs(False)
    adapted = logits(model, inputs)
    torch.testing.assert_close(logits(model.merge_and_unload(), inputs), adapted, atol=1e-3, rtol=0)


def test_adapters_that_peft_does_not_load_again_are_refused() -> None:
    from transformers import AutoModelForCausalLM, LagunaConfig

    from tasks.config import Train
    from tasks.training.adapters import with_adapters

    sizes: Any = DECODER | {"num_experts": 2, "num_experts_per_tok": 1, "vocab_size": 99}
    config = LagunaConfig(**sizes, mlp_layer_types=["dense", "sparse"])
    with pytest.raises(BadRecipe, match=r"targets[\s\S]*shared_experts[\s\S]*method: full"):
        with_adapters(AutoModelForCausalLM.from_config(config), Train(method="lora"))
    train = Train(method="lora", lora=Lora(targets=("q_proj", "v_proj")))
    with_adapters(AutoModelForCausalLM.from_config(config), train)


@pytest.mark.parametrize("architecture", ["t5gemma", "inkling"])
def test_what_embeddings_are_tied_to_stays_so(tmp_path: Path, architecture: str) -> None:
    """T5Gemma's output layer is tied to its decoder's; Inkling's config does not speak of it."""
    import torch
    import transformers as tf

    from tasks.config import Train
    from tasks.training.adapters import merge, save_trained, with_adapters
    from tasks.training.batching import Batch
    from tasks.training.model import load_model

    sizes: Any = DECODER | {"vocab_size": 99, "num_hidden_layers": 1}
    halves: Any = {
        half: {**sizes, "layer_types": ["full_attention"]} for half in ("encoder", "decoder")
    }
    base: Any
    if architecture == "t5gemma":
        base = tf.T5GemmaForConditionalGeneration(tf.T5GemmaConfig(**halves, vocab_size=99))
    else:
        base = tf.AutoModelForCausalLM.from_config(tf.InklingTextConfig(**sizes))
    base.eval().save_pretrained(tmp_path / "base")
    save_trained(with_adapters(base, Train(method="lora")), tmp_path / "adapter")
    inputs = some_inputs(architecture == "t5gemma")
    merged, _ = merge(
        load_model(tmp_path / "base"),
        tmp_path / "adapter",
        Batch(inputs, next(reversed(inputs.values())), 10, 20, 20),
    )
    merged.save_pretrained(tmp_path / "merged")
    expected = logits(load_model(tmp_path / "base"), inputs)
    torch.testing.assert_close(logits(load_model(tmp_path / "merged"), inputs), expected)
