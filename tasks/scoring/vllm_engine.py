"""Has vLLM write the completions, where the recipe asks for it: `generation: {engine: vllm}`.

[[312, 77, 1], [94, 1]]  ->  [[8, 15, 1], [23, 1]]      (token ids, as tasks.scoring.decode)
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import psutil
import torch

from tasks.config import Generation
from tasks.errors import BadModel
from tasks.scoring.decode import Ends
from tasks.scoring.generate import Generator, prompt_limit

SHARE_OF_FREE_MEMORY = {"cuda": 0.9, "cpu": 0.5}
"""For weights, keys and values of vLLM."""


@contextmanager
def with_engine(
    generator: Generator, generation: Generation, max_prompt_tokens: int
) -> Iterator[Generator]:
    """A generator whose completions vLLM writes, where the recipe says so.

    Raises:
        BadModel: vLLM does not serve such a model.
    """
    if generation.engine != "vllm":
        yield generator
        return
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # ends with this process, and frees memory
    from vllm import LLM
    from vllm.distributed import cleanup_dist_env_and_memory

    _check_served(generator)
    limit = prompt_limit(generator, max_prompt_tokens, generation)
    with tempfile.TemporaryDirectory() as folder:
        # The weights as they are in memory: interpolated ones are in no folder.
        generator.model.save_pretrained(folder)
        engine = LLM(
            folder,
            dtype=generator.model.dtype,
            max_model_len=limit + generation.max_new_tokens,
            gpu_memory_utilization=_share_of_memory(generator.model.device.type),
            generation_config="vllm",  # not what the folder's file sets, as in load_generator
            skip_tokenizer_init=True,
            disable_log_stats=True,
        )
    yield replace(generator, write=partial(_write, engine))
    cleanup_dist_env_and_memory()


def _write(
    engine: Any,
    prompts: Sequence[Sequence[int]],
    ends: Ends,
    generation: Generation,
    seeds: Sequence[int],
) -> list[list[int]]:
    from vllm import SamplingParams

    drawn_by: Sequence[int | None] = seeds or [None] * len(prompts)
    settings = [
        SamplingParams(
            temperature=generation.temperature,
            top_p=generation.top_p,
            seed=seed,
            max_tokens=ends.max_new_tokens,
            stop_token_ids=list(ends.stop_ids),
            detokenize=False,
        )
        for seed in drawn_by
    ]
    asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
    answers = engine.generate(asked, settings, use_tqdm=False)
    return [list(answer.outputs[0].token_ids) for answer in answers]


def _share_of_memory(device: str) -> float:
    """The share of a device's memory that vLLM may take."""
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
    else:
        memory = psutil.virtual_memory()
        free, total = memory.available, memory.total
    return SHARE_OF_FREE_MEMORY[device] * free / total


def _check_served(generator: Generator) -> None:
    from vllm import ModelRegistry

    names = generator.model.config.architectures or [type(generator.model).__name__]
    if generator.is_encoder_decoder or not set(names) & set(ModelRegistry.get_supported_archs()):
        raise BadModel(
            str(generator.model.name_or_path),
            "a model that vLLM serves, for generation.engine: vllm",
            ", ".join(names),
            "take `engine: torch`",
        )
