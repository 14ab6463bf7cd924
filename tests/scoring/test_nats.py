"""Likelihood of expected texts, against a loop that reads one token after the other."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.config import Generation
from tasks.errors import BadData
from tasks.scoring.generate import Generator, load_generator
from tasks.scoring.nats import nats_of
from tests.architectures import save_architecture
from tests.toy import save_model

PROMPTS = ["Say it again: red 3", "Say it", "Say it again: blue green white 77"]
COMPLETIONS = ["red 3", "", "blue green"]
GENERATION = Generation(max_new_tokens=8)


def slowly(generator: Generator, prompt: str, completion: str) -> float:
    tokenizer = generator.tokenizer
    ids = tokenizer(completion, add_special_tokens=False)["input_ids"]
    read, total = generator.encode(prompt, None)[0], 0.0
    written = list(generator.start_ids)
    for token in ids:
        with torch.inference_mode():
            if generator.is_encoder_decoder:
                output = generator.model(
                    input_ids=torch.tensor([read]), decoder_input_ids=torch.tensor([written])
                )
            else:
                output = generator.model(input_ids=torch.tensor([[*read, *written]]))
        total -= float(output.logits[0, -1].log_softmax(dim=-1)[token])
        written = [*written, token]
    return total


@pytest.mark.parametrize("kind", ["t5", "gpt2"])
def test_it_is_the_sum_of_the_tokens_surprise(kind: str, tmp_path: Path) -> None:
    generator = load_generator(save_model(tmp_path, kind))
    found = nats_of(generator, PROMPTS, COMPLETIONS, GENERATION, 100)
    expected = [slowly(generator, *pair) for pair in zip(PROMPTS, COMPLETIONS, strict=True)]
    assert found == pytest.approx(expected, rel=1e-4)
    assert expected[0] > 1 and expected[1] == 0
    if kind == "gpt2":
        with pytest.raises(BadData, match="at most 128 tokens"):
            nats_of(generator, ["Say"], ["red " * 200], GENERATION, 100)


def test_each_half_of_an_encoder_decoder_has_positions_of_its_own(
    tiny_tokenizer: Any, tmp_path: Path
) -> None:
    generator = load_generator(save_architecture("bart", tmp_path, tiny_tokenizer))
    per_word = len(generator.encode("red " * 20, None)[0]) / 20
    words = int(200 / per_word)  # of 256 positions
    prompt, completion = "red " * words, "red " * words
    [found] = nats_of(generator, [prompt], [completion], GENERATION, 512)
    assert found > 1
    with pytest.raises(BadData, match="completions of at most 256 tokens"):
        nats_of(generator, ["red"], ["red " * 2 * words], GENERATION, 512)
