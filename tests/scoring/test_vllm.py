"""Completions that vLLM writes, where it is installed: it is not among the locked packages."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.config import Generation
from tasks.errors import BadModel
from tasks.scoring.generate import complete, load_generator
from tests.toy import examples, save_model

pytest.importorskip("vllm")

from tasks.scoring.vllm_engine import with_engine  # noqa: E402

PROMPTS = [row["prompt"] for row in examples("echo", 12)]
TOKENS = 60


def save_llama(folder: Path, seed: int) -> Path:
    """A toy model whose heads are wide enough for vLLM on a CPU."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(save_model(folder, "llama"), head_dim=32)
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("seed", [0, 1])  # one engine after the other in the same process
def test_it_writes_what_the_own_loop_writes(seed: int, tmp_path: Path) -> None:
    generator = load_generator(save_llama(tmp_path, seed))
    generator = replace(generator, stop_ids=tuple(range(60, 100)))  # so that some do stop
    greedy = Generation(max_new_tokens=12, engine="vllm")
    with with_engine(generator, greedy, TOKENS) as fast:
        answers = complete(fast, PROMPTS, greedy, TOKENS)
        sampled = [
            complete(fast, prompts, greedy.model_copy(update={"temperature": 1.0}), TOKENS)
            for prompts in (PROMPTS, PROMPTS, PROMPTS[:3])
        ]
    assert answers == complete(generator, PROMPTS, greedy, TOKENS)
    assert {answer.hit_length_limit for answer in answers} == {False, True}
    assert sampled[0] == sampled[1] != answers
    assert sampled[2] == sampled[0][:3]


def test_a_model_that_it_does_not_serve_is_refused(tmp_path: Path) -> None:
    generator = load_generator(save_model(tmp_path, "t5"))
    generation = Generation(engine="vllm")
    told = pytest.raises(BadModel, match="(?s)a model that vLLM serves.*engine: torch")
    with told, with_engine(generator, generation, TOKENS):
        pass
