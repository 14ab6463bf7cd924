"""Logits are computed where there is something to learn, and are those of the whole model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from tasks.training.batching import IGNORED
from tasks.training.supervised import predicted
from tests.training.trainers import trainer_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("model", ["t5", "llama", "gpt2"])
def test_the_output_layer_sees_nothing_else(
    write_job: Callable[..., Path], tmp_path: Path, model: str
) -> None:
    trainer = trainer_of(write_job(tmp_path, model, 12))
    batch = trainer._collate(trainer._steps(0)[0][0], trainer.examples)
    network: Any = trainer.model
    seen: list[torch.Size] = []
    network.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: seen.append(output.shape)
    )
    results = []
    for head in (network.get_output_embeddings(), None):
        logits, labels = predicted(batch, CPU, network, head)
        cross_entropy(logits, labels, reduction="sum").backward()
        gradients = torch.cat([weight.grad.flatten() for weight in network.parameters()])
        network.zero_grad()
        results.append((logits, labels, gradients))
    few, every = results
    assert few[0].shape == every[0].shape == (batch.num_supervised, network.config.vocab_size)
    assert torch.equal(few[1], every[1])
    assert torch.equal(few[1], batch.labels[batch.labels != IGNORED])
    torch.testing.assert_close(few[0], every[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(few[2], every[2], atol=1e-4, rtol=1e-4)
    assert seen[0][:-1] == (batch.num_supervised,)
    assert seen[1][:-1].numel() == batch.num_padded or network.config.is_encoder_decoder
