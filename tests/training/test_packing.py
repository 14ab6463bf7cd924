"""Packed rows: each example gets what it would get alone, and little is padded."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from tasks.config import Train
from tasks.training.batching import IGNORED, collate, plan_steps
from tasks.training.examples import Examples, Ragged
from tasks.training.packing import can_pack, pack

SIZES: dict[str, Any] = {"vocab_size": 99, "num_hidden_layers": 2, "hidden_size": 32}
ATTENTION: dict[str, Any] = {
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
CONFIGS: dict[str, Any] = {
    "gpt2": lambda: tf.GPT2Config(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "llama": lambda: tf.LlamaConfig(**SIZES, **ATTENTION),
    "qwen2": lambda: tf.Qwen2Config(**SIZES, **ATTENTION),
    "qwen3": lambda: tf.Qwen3Config(**SIZES, **ATTENTION, head_dim=8),
    "bloom": lambda: tf.BloomConfig(vocab_size=99, hidden_size=32, n_layer=2, n_head=4),
    "mamba": lambda: tf.MambaConfig(**SIZES, state_size=4),
}


def model_of(name: str) -> Any:
    torch.manual_seed(3)
    config = CONFIGS[name]()
    config.initializer_range = 0.3  # so that a leak would show
    return tf.AutoModelForCausalLM.from_config(config).eval()


def random_examples(count: int, longest: int) -> Examples:
    draw = np.random.default_rng(5)

    def rows(most: int) -> Ragged:
        lengths = draw.integers(2, most, count)
        return Ragged.of_lengths(draw.integers(0, 99, lengths.sum()).astype(np.int32), lengths)

    names = np.array([str(number) for number in range(count)])
    return Examples(names, names, rows(longest), rows(longest // 2), 0, 0)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "qwen3"])
def test_packed_and_unpacked_agree(name: str) -> None:
    model, examples = model_of(name), random_examples(11, 20)
    assert can_pack(model)
    lengths = (examples.prompts.lengths + examples.completions.lengths).tolist()
    rows = pack(lengths)
    assert len(rows) < 11
    order = [number for row in rows for number in row]
    results = []
    for batch in (
        collate(np.arange(11), examples, False, 0, None, packs=True),
        collate(order, examples, False, 0, None),
    ):
        with torch.no_grad():
            logits = model(**batch.inputs, use_cache=False).logits[batch.labels != IGNORED]
        labels = batch.labels[batch.labels != IGNORED]
        results.append((logits, labels, torch.nn.functional.cross_entropy(logits, labels)))
    assert torch.equal(results[0][1], results[1][1])
    assert torch.allclose(results[0][0], results[1][0], atol=1e-4)
    assert float(results[0][2]) == pytest.approx(float(results[1][2]), abs=1e-4)


def test_rows_are_not_filled_with_the_pad_token() -> None:
    """Its embedding may be zeros, of which the norm that Gemma 3n takes has no gradient."""
    batch = collate(np.arange(11), random_examples(11, 20), False, 99, None, packs=True)
    assert batch.num_padded > batch.num_tokens
    assert 99 not in batch.inputs["input_ids"]


@pytest.mark.parametrize("name", ["bloom", "mamba"])
def test_models_that_would_mix_examples_are_found_out(name: str) -> None:
    assert not can_pack(model_of(name))


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "grouped"])
@pytest.mark.parametrize("micro", [800, 4000])
def test_a_plan_holds_every_row_once_and_pads_at_most_five_percent(packs: bool, micro: int) -> None:
    draw, count = np.random.default_rng(5), 1200
    lengths = [draw.normal(mean, mean / 5, count).clip(2).astype(int) for mean in (100, 30)]
    sides = [Ragged.of_lengths(np.ones(size.sum(), np.int32), size) for size in lengths]
    names = np.array(["a"] * count)
    examples = Examples(names, names, *sides, 0, 0)
    rows, train = draw.permutation(count), Train(batch_tokens=8000)
    steps = plan_steps(rows, examples, train, micro, packs, seed=1)
    flat = [batch for step in steps for batch in step]
    assert sorted(np.concatenate(flat).tolist()) == list(range(count))
    made = [collate(batch, examples, not packs, 0, 0, packs) for batch in flat]
    assert 1 - sum(b.num_tokens for b in made) / sum(b.num_padded for b in made) <= 0.05
    assert max(batch.num_padded for batch in made) <= 1.05 * micro
    other = plan_steps(rows, examples, train, 2 * micro, packs, seed=1)
    assert [set(np.concatenate(step)) for step in steps] == [
        set(np.concatenate(step)) for step in other
    ]
