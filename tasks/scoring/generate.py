"""Runs a model on prompts: batches by length, greedy or sampled, whatever the architecture.

"Summarize: Ana: Lunch? ..."  ->  Completion("Ana and Bo have lunch.", 21, 7, False, False)
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from tasks.config import ChatTemplate, Generation
from tasks.data.tokenizing import encode_prompt
from tasks.data.tools import as_calls, offers_tools
from tasks.errors import BadModel
from tasks.scoring.decode import Choose, Ends, decode, greedy, keeps_padding_apart, sampler
from tasks.training.model import (
    barred_token_ids,
    fit,
    load_model,
    load_tokenizer,
    num_positions,
    start_token_ids,
    stop_token_ids,
)
from tasks.training.precision import pick_device, uses_bf16

Write = Callable[[Sequence[Sequence[int]], Ends, Generation, Sequence[int]], list[list[int]]]
"""(prompts, ends, settings, seeds of the prompts or none) -> completions, all as token ids."""

WRITER_BATCH_TOKENS = 2**20
"""Handed to a `Write` at once: it makes its own batches; what it has not returned a kill loses."""


@dataclass(frozen=True)
class Completion:
    """What a model answered.

    Attributes:
        text: Without special tokens and white space at the ends; calls of tools as
            `tasks.data.tools` writes them.
        num_prompt_tokens: Tokens it read.
        num_tokens: Tokens it wrote, the stop token included.
        truncated_prompt: The prompt was over the limit and lost its end.
        hit_length_limit: It was cut off before it stopped by itself.
    """

    text: str
    num_prompt_tokens: int
    num_tokens: int
    truncated_prompt: bool
    hit_length_limit: bool


@dataclass(frozen=True)
class Generator:
    """A model that is ready to generate.

    Attributes:
        model: In evaluation mode, on its device.
        tokenizer: Its tokenizer.
        stop_ids: Tokens that end a completion.
        start_ids: Tokens that an encoder-decoder's completion starts from: the decoder's first
            input, then what it has to write first, if anything.
        barred_ids: Tokens that are never written.
        pads: Whether prompts of different lengths can share a batch.
        write: What writes the completions in place of `decode` (`tasks.scoring.vllm_engine`).
    """

    model: PreTrainedModel
    tokenizer: Any
    stop_ids: tuple[int, ...]
    start_ids: tuple[int, ...] = ()
    barred_ids: tuple[int, ...] = ()
    pads: bool = True
    write: Write | None = None

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether prompt and completion are read and written by two halves of the model."""
        return bool(self.model.config.is_encoder_decoder)

    def encode(self, prompt: str, max_tokens: int | None) -> tuple[list[int], bool]:
        """Token ids of a prompt, and whether it was cut."""
        return encode_prompt(prompt, self.tokenizer, self.is_encoder_decoder, max_tokens)


def load_generator(
    folder: Path,
    allow_pickle: bool = False,
    from_scratch: bool = False,
    prepare: Callable[[PreTrainedModel], None] = lambda model: None,
    chat_template: ChatTemplate = "auto",
    trust_remote_code: bool = False,
) -> Generator:
    """Load a model to generate with: in bf16 on a GPU that computes in it, else in fp32.

    Args:
        folder: Hugging Face folder; nothing is fetched.
        allow_pickle: Accept weights that are a pickle.
        from_scratch: Initialise the weights from the current torch seed instead.
        prepare: Changes the model, in fp32 and on the CPU, before it goes to its device.
        chat_template: Whether the tokenizer's chat template is used, where it has one.
        trust_remote_code: Run code of the folder.

    Raises:
        BadModel: The folder is not usable.
    """
    tokenizer = load_tokenizer(folder, chat_template, trust_remote_code)
    model: Any = load_model(folder, from_scratch, allow_pickle, trust_remote_code=trust_remote_code)
    fit(model, tokenizer, folder)
    prepare(model)
    device = pick_device()
    bf16 = device.type == "cuda" and uses_bf16("auto", device)
    model.to(device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    model.eval()
    return Generator(
        model=model,
        tokenizer=tokenizer,
        stop_ids=tuple(stop_token_ids(model, tokenizer)),
        start_ids=tuple(start_token_ids(model)),
        barred_ids=tuple(barred_token_ids(model)),
        pads=model.config.is_encoder_decoder or keeps_padding_apart(model),
    )


def prompt_limit(generator: Generator, max_prompt_tokens: int, generation: Generation) -> int:
    """The longest prompt, in tokens, that leaves the model room for a completion.

    Raises:
        BadModel: It has no room at all.
    """
    reads, writes = num_positions(generator.model)
    needed = 0 if generator.is_encoder_decoder else generation.max_new_tokens
    first = len(generator.start_ids) - 1 if generator.is_encoder_decoder else 1  # token of a prompt
    if writes is not None and writes < first + generation.max_new_tokens:
        raise BadModel(
            str(generator.model.name_or_path),
            f"room for generation.max_new_tokens = {generation.max_new_tokens}",
            f"a model of {writes} positions",
            "lower generation.max_new_tokens",
        )
    return max_prompt_tokens if reads is None else min(max_prompt_tokens, reads - needed)


def complete(
    generator: Generator,
    prompts: Sequence[str],
    generation: Generation,
    max_prompt_tokens: int,
) -> list[Completion]:
    """Complete prompts; see `generate`.

    Returns:
        One completion per prompt.
    """
    completions: dict[int, Completion] = {}
    for batch in generate(generator, prompts, generation, max_prompt_tokens):
        completions |= batch
    return [completions[index] for index in range(len(prompts))]


def generate(
    generator: Generator,
    prompts: Sequence[str],
    generation: Generation,
    max_prompt_tokens: int,
    skips: Callable[[int, Sequence[int]], bool] = lambda number, batch: False,
) -> Iterator[dict[int, Completion]]:
    """Complete prompts batch by batch.

    Greedy completions do not depend on what else is in a batch, up to the rounding of sums;
    sampled ones depend on the seed and the prompt alone (and on how many times it was given).

    Args:
        generator: The model.
        prompts: Texts.
        generation: Length limit, sampling and batch size.
        max_prompt_tokens: Longer prompts lose their end.
        skips: Whether to leave out a batch, given its number and the positions of its prompts.
            The others stay as they were, so what is left out can be taken from another run.

    Yields:
        Position of a prompt -> its completion, for one batch.
    """
    limit = prompt_limit(generator, max_prompt_tokens, generation)
    encoded = [generator.encode(prompt, limit) for prompt in prompts]
    seeds = _seeds(prompts, generation.seed) if generation.temperature > 0 else []
    ends = Ends(
        stop_ids=generator.stop_ids,
        start_ids=generator.start_ids,
        pad_id=generator.tokenizer.pad_token_id,
        max_new_tokens=generation.max_new_tokens,
        barred_ids=generator.barred_ids,
    )
    lengths = [len(ids) for ids, _ in encoded]
    budget = WRITER_BATCH_TOKENS if generator.write else generation.batch_tokens
    alike = not (generator.pads or generator.write)
    grouped = batches(lengths, generation.max_new_tokens, budget, alike)
    for number, batch in enumerate(grouped):
        if skips(number, batch):
            continue
        ids_of = [encoded[index][0] for index in batch]
        its_seeds = [seeds[index] for index in batch] if seeds else []
        if generator.write:
            written = generator.write(ids_of, ends, generation, its_seeds)
        else:
            written = decode(generator.model, ids_of, ends, _choice(generation, its_seeds))
        yield {
            index: _completion(generator, prompts[index], *encoded[index], ids)
            for index, ids in zip(batch, written, strict=True)
        }


def batches(
    lengths: Sequence[int], max_new_tokens: int, batch_tokens: int, alike: bool = False
) -> Iterator[list[int]]:
    """Group prompts of similar length, the longest first, so that memory runs out at once or never.

    Args:
        lengths: Of each prompt, in tokens.
        max_new_tokens: Room that each completion needs.
        batch_tokens: Budget: rows * (longest prompt + room); a batch has at least one row.
        alike: Whether all prompts of a batch must be of one length.

    Yields:
        Positions in `lengths`.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    while order:
        longest = lengths[order[0]]
        rows = max(1, batch_tokens // (longest + max_new_tokens))
        if alike:
            rows = min(rows, sum(lengths[index] == longest for index in order))
        yield order[:rows]
        order = order[rows:]


def _completion(
    generator: Generator,
    prompt: str,
    prompt_ids: Sequence[int],
    truncated_prompt: bool,
    ids: Sequence[int],
) -> Completion:
    has_stopped = ids[-1] in generator.stop_ids
    content = ids[:-1] if has_stopped else ids  # a stop token need not be a special one
    text = generator.tokenizer.decode(content, skip_special_tokens=True).strip()
    return Completion(
        text=as_calls(text) if offers_tools(prompt) else text,
        num_prompt_tokens=len(prompt_ids),
        num_tokens=len(ids),
        truncated_prompt=truncated_prompt,
        hit_length_limit=not has_stopped,
    )


def _choice(generation: Generation, seeds: Sequence[int]) -> Choose:
    if not seeds:
        return greedy
    return sampler(generation.temperature, generation.top_p, seeds, generation.max_new_tokens)


def _seeds(prompts: Sequence[str], seed: int) -> list[int]:
    """A seed for each prompt: another one each time that the same prompt is given."""
    times: Counter[str] = Counter()
    seeds = []
    for prompt in prompts:
        named = f"{seed} {times[prompt]} {prompt}".encode()
        seeds.append(int.from_bytes(hashlib.sha256(named).digest()[:7], "big"))
        times[prompt] += 1
    return seeds
