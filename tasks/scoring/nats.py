"""Negative log likelihood, in nats, of expected completions under a model.

"The boat left the bay at", "dawn and nobody saw it go."  ->  41.5 (nats)
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from tasks.config import Generation
from tasks.data.tokenizing import encode_completions
from tasks.errors import BadData
from tasks.scoring.generate import Generator, batches, prompt_limit
from tasks.training.batching import IGNORED
from tasks.training.model import num_positions

MAX_LOGITS = 2**27
"""Of one batch: half a GiB in fp32."""


@torch.inference_mode()
def nats_of(
    generator: Generator,
    prompts: Sequence[str],
    completions: Sequence[str],
    generation: Generation,
    max_prompt_tokens: int,
    takes: Callable[[int], bool] = lambda number: True,
) -> list[float]:
    """Negative log likelihood of each completion after its prompt.

    The stop token is left out, and what a model has to write first.

    Args:
        generator: The model.
        prompts: Texts; longer ones than the limit lose their end.
        completions: The expected texts.
        generation: Sets the size of batches.
        max_prompt_tokens: Length limit of a prompt.
        takes: Whether to read the batch of a number; the values of another are 0.

    Raises:
        BadData: A completion, of a decoder-only model with its prompt, is longer than the model's
            limit.
    """
    limit = prompt_limit(generator, max_prompt_tokens, generation)
    read = [generator.encode(prompt, limit)[0] for prompt in prompts]
    tokenizer, both = generator.tokenizer, generator.is_encoder_decoder
    first = list(generator.start_ids[1:])
    encoded = encode_completions(completions, tokenizer, both)
    written = [ids[len(first) : -1] if ids[: len(first)] == first else ids[:-1] for ids in encoded]
    lengths = [len(one) + len(other) for one, other in zip(read, written, strict=True)]
    _check(generator, [len(first) + len(text) for text in written] if both else lengths)
    vocabulary: int = generator.model.get_input_embeddings().weight.size(0)  # type: ignore[operator]
    budget = min(generation.batch_tokens, max(1, MAX_LOGITS // vocabulary))
    nats = [0.0] * len(prompts)
    for number, batch in enumerate(batches(lengths, 0, budget)):
        if takes(number):
            pairs = [(read[index], written[index]) for index in batch]
            for index, value in zip(batch, _losses(generator, pairs), strict=True):
                nats[index] = value
    return nats


def _losses(
    generator: Generator, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> list[float]:
    if generator.is_encoder_decoder:
        logits, labels = _of_encoder_decoder(generator, pairs)
    else:
        logits, labels = _of_decoder(generator, pairs)
    losses = cross_entropy(
        logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
    )
    summed: list[float] = losses.double().sum(dim=1).tolist()
    return summed


def _of_encoder_decoder(
    generator: Generator, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> tuple[torch.Tensor, torch.Tensor]:
    device, model, start = generator.model.device, generator.model, generator.start_ids
    pad = generator.tokenizer.pad_token_id
    ids = _filled([prompt for prompt, _ in pairs], pad).to(device)
    mask = _filled([[1] * len(prompt) for prompt, _ in pairs], 0).to(device)
    labels = _filled([[*[IGNORED] * len(start[1:]), *text] for _, text in pairs], IGNORED).to(
        device
    )
    decoder_ids = _filled([[*start, *text][:-1] for _, text in pairs], pad).to(device)
    logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=decoder_ids).logits
    return logits, labels


def _of_decoder(
    generator: Generator, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> tuple[torch.Tensor, torch.Tensor]:
    device = generator.model.device
    rows = [[*prompt, *text] for prompt, text in pairs]
    # Padded on the right, a causal model's rows do not see it.
    ids = _filled(rows, generator.tokenizer.pad_token_id).to(device)
    mask = _filled([[1] * len(row) for row in rows], 0).to(device)
    labels = _filled([[IGNORED] * len(prompt) + list(text) for prompt, text in pairs], IGNORED)
    logits = generator.model(input_ids=ids, attention_mask=mask).logits
    return logits[:, :-1], labels[:, 1:].to(device)


def _filled(rows: Sequence[Sequence[Any]], filler: int) -> torch.Tensor:
    """Rows of different lengths as a tensor, filled up on the right; at least one column."""
    width = max(1, *map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])


def _check(generator: Generator, lengths: Sequence[int]) -> None:
    _, positions = num_positions(generator.model)
    if positions is not None and max(lengths) > positions:
        what = "completions" if generator.is_encoder_decoder else "prompts with completions"
        raise BadData(
            str(generator.model.name_or_path),
            f"{what} of at most {positions} tokens, the model's limit",
            f"one of {max(lengths)}",
            "take shorter texts, such as `format: passages` with fewer `passage_words`",
        )
