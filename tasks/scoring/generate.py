"""Runs a model on prompts: batches by length, greedy or sampled, whatever the architecture.

"Summarize: Ana: Lunch? ..."  ->  Completion("Ana and Bo have lunch.", 21, 7, False, False)
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel

from tasks.config import Generation
from tasks.data.tokenizing import encode_prompt, stop_token_id
from tasks.errors import BadModel
from tasks.training.model import check_vocabulary, load_model, load_tokenizer
from tasks.training.precision import pick_device, uses_bf16


@dataclass(frozen=True)
class Completion:
    """What a model answered.

    Attributes:
        text: Without special tokens and white space at the ends.
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
        start_id: Token that an encoder-decoder's completion starts from.
    """

    model: PreTrainedModel
    tokenizer: Any
    stop_ids: tuple[int, ...]
    start_id: int | None = None

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether prompt and completion are read and written by two halves of the model."""
        return bool(self.model.config.is_encoder_decoder)

    def encode(self, prompt: str, max_tokens: int | None) -> tuple[list[int], bool]:
        """Token ids of a prompt, and whether it was cut."""
        return encode_prompt(prompt, self.tokenizer, self.is_encoder_decoder, max_tokens)


def load_generator(
    folder: Path, allow_pickle: bool = False, from_scratch: bool = False
) -> Generator:
    """Load a model to generate with: in bf16 on a GPU that computes in it, else in fp32.

    Args:
        folder: Hugging Face folder; nothing is fetched and no code in it is run.
        allow_pickle: Accept weights that are a pickle.
        from_scratch: Initialise the weights from the current torch seed instead.

    Raises:
        BadModel: The folder is not usable.
    """
    tokenizer = load_tokenizer(folder)
    model: Any = load_model(folder, from_scratch, allow_pickle)
    check_vocabulary(model, tokenizer, folder)
    device = pick_device()
    bf16 = device.type == "cuda" and uses_bf16("auto", device)
    model.to(device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    model.eval()
    given = model.generation_config
    stops = given.eos_token_id if isinstance(given.eos_token_id, list) else [given.eos_token_id]
    stop_ids = {stop_token_id(tokenizer, bool(model.config.is_encoder_decoder)), *stops} - {None}
    starts = (given.decoder_start_token_id, getattr(model.config, "decoder_start_token_id", None))
    # What else the folder's generation_config.json sets (beams, penalties, lengths) would make
    # models incomparable.
    config: Any = GenerationConfig  # untyped in transformers
    model.generation_config = config()
    return Generator(
        model,
        tokenizer,
        stop_ids=tuple(sorted(stop_ids)),
        start_id=next((token for token in starts if token is not None), None),
    )


def prompt_limit(generator: Generator, max_prompt_tokens: int, generation: Generation) -> int:
    """The longest prompt, in tokens, that leaves the model room for a completion.

    Raises:
        BadModel: It has no room at all.
    """
    positions: int | None = getattr(generator.model.config, "max_position_embeddings", None)
    if positions is None:
        return max_prompt_tokens
    needed = 0 if generator.is_encoder_decoder else generation.max_new_tokens
    if positions <= max(needed, generation.max_new_tokens - 1):
        raise BadModel(
            str(generator.model.name_or_path),
            f"room for generation.max_new_tokens = {generation.max_new_tokens}",
            f"a model of {positions} positions",
            "lower generation.max_new_tokens",
        )
    return min(max_prompt_tokens, positions - needed)


def complete(
    generator: Generator,
    prompts: Sequence[str],
    generation: Generation,
    max_prompt_tokens: int,
    on_batch: Callable[[int], None] = lambda num_done: None,
) -> list[Completion]:
    """Complete prompts.

    Greedy completions do not depend on what else is in a batch, up to the rounding of sums;
    sampled ones depend on the seed and the whole list of prompts.

    Args:
        generator: The model.
        prompts: Texts; each keeps its place.
        generation: Length limit, sampling and batch size.
        max_prompt_tokens: Longer prompts lose their end.
        on_batch: Called after each batch with the number of prompts done.

    Returns:
        One completion per prompt.
    """
    limit = prompt_limit(generator, max_prompt_tokens, generation)
    encoded = [generator.encode(prompt, limit) for prompt in prompts]
    settings = _settings(generator, generation)
    completions: dict[int, Completion] = {}
    torch.manual_seed(generation.seed)
    lengths = [len(ids) for ids, _ in encoded]
    for batch in batches(lengths, generation.max_new_tokens, generation.batch_tokens):
        written = _generate(generator, [encoded[index][0] for index in batch], settings)
        for index, ids in zip(batch, written, strict=True):
            stopped = bool(ids) and ids[-1] in generator.stop_ids
            completions[index] = Completion(
                text=generator.tokenizer.decode(ids, skip_special_tokens=True).strip(),
                num_prompt_tokens=lengths[index],
                num_tokens=len(ids),
                truncated_prompt=encoded[index][1],
                hit_length_limit=not stopped,
            )
        on_batch(len(completions))
    return [completions[index] for index in range(len(prompts))]


def batches(lengths: Sequence[int], max_new_tokens: int, batch_tokens: int) -> Iterator[list[int]]:
    """Group prompts of similar length, the longest first, so that memory runs out at once or never.

    Args:
        lengths: Of each prompt, in tokens.
        max_new_tokens: Room that each completion needs.
        batch_tokens: Budget: rows * (longest prompt + room); a batch has at least one row.

    Yields:
        Positions in `lengths`.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    while order:
        rows = max(1, batch_tokens // (lengths[order[0]] + max_new_tokens))
        yield order[:rows]
        order = order[rows:]


def _settings(generator: Generator, generation: Generation) -> GenerationConfig:
    samples = generation.temperature > 0
    sampling = {"temperature": generation.temperature, "top_p": generation.top_p, "top_k": 0}
    config: Any = GenerationConfig
    settings: GenerationConfig = config(
        max_new_tokens=generation.max_new_tokens,
        do_sample=samples,
        use_cache=True,
        eos_token_id=list(generator.stop_ids),
        pad_token_id=generator.tokenizer.pad_token_id,
        decoder_start_token_id=generator.start_id,
        **(sampling if samples else {}),
    )
    return settings


@torch.inference_mode()
def _generate(
    generator: Generator, prompts: Sequence[Sequence[int]], settings: GenerationConfig
) -> list[list[int]]:
    """Token ids of one batch of completions, each up to and with its stop token."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), generator.tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        # A decoder goes on from the right end; padding there would stand before its answer.
        at = slice(0, len(prompt)) if generator.is_encoder_decoder else slice(-len(prompt), None)
        ids[row, at] = torch.tensor(prompt)
        mask[row, at] = 1
    device = generator.model.device
    generate: Any = generator.model.generate
    output = generate(ids.to(device), attention_mask=mask.to(device), generation_config=settings)
    start = 1 if generator.is_encoder_decoder else width
    return [_until_stop(row, generator.stop_ids) for row in output[:, start:].tolist()]


def _until_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    ends = [index for index, token in enumerate(ids) if token in stop_ids]
    return ids[: ends[0] + 1] if ends else ids
