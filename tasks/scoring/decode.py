"""Writes completions token by token: one loop for every architecture, greedy or sampled.

[[312, 77, 1], [94, 1]]  ->  [[8, 15, 1], [23, 1]]      (token ids, each up to its stop token)

It is simpler than `transformers`' own loop, and differs in three ways that pay: rows that have
ended leave the batch, encoders read in portions that fit a processor's cache, and a row
that is sampled has random numbers of its own, so its completion does not depend on its neighbours.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

DROP_SHARE = 0.25
"""Rows that have ended leave the batch when they are this share of it: leaving costs a copy."""

LEAST = 1e-6
"""Temperature and top_p that leave the likeliest token alone."""

READ_TOKENS_ON_CPU = 2048
"""An encoder on a CPU reads about this many tokens at once; with more, its intermediate results
leave the cache and it takes longer (pocket-flan: 1.4 to 2.1 times, 13,000 against 2,000)."""

TRIAL_TOKENS = 6
MOST_LEAKAGE = 1e-5
"""Largest change of a logit, relative to the largest, that is rounding; in bf16, a few of its steps
are."""

Choose = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""(logits of shape (rows, vocabulary), numbers of the rows, step) -> a token id for each row."""


@dataclass(frozen=True)
class Ends:
    """Where completions begin and end.

    Attributes:
        stop_ids: Tokens that end a completion.
        start_ids: Tokens that an encoder-decoder's completion starts from.
        pad_id: Token that fills a batch up; it is masked.
        max_new_tokens: Length limit of a completion, the stop token included.
        barred_ids: Tokens that are never written.
    """

    stop_ids: tuple[int, ...]
    start_ids: tuple[int, ...]
    pad_id: int
    max_new_tokens: int
    barred_ids: tuple[int, ...] = ()


@dataclass
class _State:
    """What a model is given at the next step; all tensors have a row for each completion.

    Attributes:
        model: The model.
        tokens: Token ids not read yet, shape (rows, tokens).
        mask: 1 for a token of the prompt (and, decoder-only, of the completion), 0 for padding.
        encoded: Hidden states of the encoder, shape (rows, tokens, width); None without one.
        wrap: Makes of them what the encoder returns: of some models, more than hidden states.
        cache: Keys and values of what has been read; None at first.
        accepted: Names of the arguments that the model takes.
    """

    model: PreTrainedModel
    tokens: torch.Tensor
    mask: torch.Tensor
    encoded: torch.Tensor | None
    wrap: Callable[..., Any] = BaseModelOutput
    cache: Any = None
    accepted: frozenset[str] = field(default_factory=frozenset)

    def logits(self) -> torch.Tensor:
        """Read the tokens; the logits of the next one, shape (rows, vocabulary)."""
        given: dict[str, Any] = {"attention_mask": self.mask, "use_cache": True}
        if self.cache is not None:
            given["past_key_values"] = self.cache
        if self.encoded is not None:
            given["encoder_outputs"] = self.wrap(last_hidden_state=self.encoded)
            given["decoder_input_ids"] = self.tokens
        else:
            given["input_ids"] = self.tokens
            positions = (self.mask.cumsum(dim=-1) - 1).clamp(min=0)
            given["position_ids"] = positions[:, -self.tokens.size(1) :]
            given["logits_to_keep"] = 1
        output = self.model(**{name: given[name] for name in given if name in self.accepted})
        self.cache = getattr(output, "past_key_values", None)
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def go_on(self, tokens: torch.Tensor) -> None:
        """Take the tokens written; without a cache the model has to read all of them again."""
        new = tokens.unsqueeze(1)
        self.tokens = new if self.cache is not None else torch.cat([self.tokens, new], dim=1)
        if self.encoded is None:
            self.mask = pad(self.mask, (0, 1), value=1)

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all other rows."""
        self.tokens, self.mask = self.tokens[rows], self.mask[rows]
        if self.encoded is not None:
            self.encoded = self.encoded[rows]
        if self.cache is not None:
            self.cache.reorder_cache(rows)
            states = getattr(self.cache, "linear_cache", [])  # MiniMax's has them beside its layers
            states[:] = [state[rows] if len(state) else state for state in states]


@torch.inference_mode()
def decode(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], ends: Ends, choose: Choose
) -> list[list[int]]:
    """Complete the prompts of one batch.

    Args:
        model: In evaluation mode; encoder-decoder or decoder-only.
        prompts: Token ids; none is empty.
        ends: Where completions begin and end.
        choose: Picks the next token of each row.

    Returns:
        Token ids of each completion, up to and with its stop token.
    """
    state = _start(model, prompts, ends)
    device = state.tokens.device
    stops = torch.tensor(ends.stop_ids, device=device)
    barred = torch.tensor(ends.barred_ids, dtype=torch.long, device=device)
    rows = torch.arange(len(prompts), device=device)
    written = torch.full((len(prompts), ends.max_new_tokens), ends.pad_id, device=device)
    lengths = torch.full((len(prompts),), ends.max_new_tokens, device=device)
    goes_on = torch.ones(len(prompts), dtype=torch.bool, device=device)
    for step in range(ends.max_new_tokens):
        logits = state.logits()
        logits[:, barred] = -torch.inf
        tokens = choose(logits, rows, step)
        written[rows, step] = tokens
        stopped = goes_on & torch.isin(tokens, stops)
        lengths[rows[stopped]] = step + 1
        goes_on &= ~stopped
        num_left = int(goes_on.sum())
        if num_left == 0:
            break
        state.go_on(tokens)
        if num_left <= (1 - DROP_SHARE) * len(rows):
            left = goes_on.nonzero().squeeze(1)
            state.keep(left)
            rows, goes_on = rows[left], goes_on[left]
    cut = zip(written.tolist(), lengths.tolist(), strict=True)
    return [ids[:length] for ids, length in cut]


@torch.inference_mode()
def keeps_padding_apart(model: PreTrainedModel) -> bool:
    """Whether a decoder's answers are independent of padding, found out by a trial.

    A recurrent model that ignores the attention mask (RWKV) reads padding as part of the prompt.
    MiniMax masks the wrong tokens when it goes on, where its first layer keeps no keys to count.

    Args:
        model: Decoder-only, in evaluation mode, on its device.
    """
    vocabulary: int = model.get_input_embeddings().weight.size(0)  # type: ignore[operator]
    ids = torch.arange(2 * TRIAL_TOKENS, device=model.device).remainder(vocabulary)
    other = torch.cat([ids[:TRIAL_TOKENS].flip(0), ids[TRIAL_TOKENS:]])
    mask = torch.ones_like(ids).index_fill(0, torch.arange(TRIAL_TOKENS, device=ids.device), 0)
    accepted = frozenset(inspect.signature(model.forward).parameters)
    states = [_State(model, row[None], mask[None], None, accepted=accepted) for row in (ids, other)]
    first, second = (state.logits().float() for state in states)
    if hasattr(states[0].cache, "linear_cache"):
        return False
    most = max(MOST_LEAKAGE, 4 * torch.finfo(model.dtype).eps)
    return bool((first - second).abs().max() <= most * first.abs().max())


def greedy(logits: torch.Tensor, rows: torch.Tensor, step: int) -> torch.Tensor:
    """Choose the likeliest token."""
    return logits.argmax(dim=-1)


def sampler(temperature: float, top_p: float, seeds: Sequence[int], num_steps: int) -> Choose:
    """Choose tokens at random, each row by random numbers of its own.

    Args:
        temperature: Above 0; the logits are divided by it.
        top_p: Only the likeliest tokens that together have this probability (nucleus sampling;
            Holtzman et al., 2020).
        seeds: Of each row.
        num_steps: Tokens of a completion, at most.
    """
    numbers = torch.stack(
        [torch.rand(num_steps, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
    # Still less would be 0 as float32.
    temperature, top_p = max(temperature, LEAST), max(top_p, LEAST)

    def choose(logits: torch.Tensor, rows: torch.Tensor, step: int) -> torch.Tensor:
        shares, tokens = (logits.float() / temperature).softmax(dim=-1).sort(descending=True)
        reached = shares.cumsum(dim=-1)
        shares = shares.masked_fill(reached - shares >= top_p, 0.0)  # the likeliest always stays
        reached = shares.cumsum(dim=-1)
        wanted = numbers[rows.cpu(), step].to(logits.device).unsqueeze(1) * reached[:, -1:]
        place = torch.searchsorted(reached, wanted, right=True)
        last = (shares > 0).sum(dim=-1, keepdim=True) - 1
        return tokens.gather(1, torch.minimum(place, last)).squeeze(1)

    return choose


def _start(model: PreTrainedModel, prompts: Sequence[Sequence[int]], ends: Ends) -> _State:
    accepted = frozenset(inspect.signature(model.forward).parameters)
    if not model.config.is_encoder_decoder:
        # A decoder goes on from the right end; padding there would stand before its answer.
        ids, mask = _padded(prompts, ends.pad_id, left=True)
        return _State(model, ids.to(model.device), mask.to(model.device), None, accepted=accepted)
    ids, mask = (part.to(model.device) for part in _padded(prompts, ends.pad_id, left=False))
    tokens = torch.tensor([ends.start_ids], device=model.device).repeat(len(prompts), 1)
    encoded, wrap = _encoded(model, ids, mask)
    return _State(model, tokens, mask, encoded, wrap, accepted=accepted)


def _encoded(
    model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, Callable[..., Any]]:
    """The encoder's hidden states, shape (rows, tokens, width), and the class of its output.

    They are 0 where there is padding.
    """
    encoder: Any = model.get_encoder()
    width = ids.size(1)
    portion = len(ids) if model.device.type != "cpu" else max(1, READ_TOKENS_ON_CPU // width)
    parts = []
    for start in range(0, len(ids), portion):
        its_mask = mask[start : start + portion]
        longest = int(its_mask.sum(dim=1).max())
        its_ids = ids[start : start + portion, :longest]
        output = encoder(input_ids=its_ids, attention_mask=its_mask[:, :longest])
        parts.append(pad(output.last_hidden_state, (0, 0, 0, width - longest)))
    return torch.cat(parts), type(output)


def _padded(
    prompts: Sequence[Sequence[int]], pad_id: int, left: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, shape (rows, longest prompt)."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        at = slice(-len(prompt), None) if left else slice(0, len(prompt))
        ids[row, at] = torch.tensor(prompt)
        mask[row, at] = 1
    return ids, mask
