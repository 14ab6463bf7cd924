"""The memory that training takes, found by a dry run on tensors without content.

    {"parameters": 35144192, "trainable_parameters": 35144192, "weights": 140576768,
     "gradients": 140576768, "optimizer": 281153536, "activations": 660000000,
     "libraries": 470000000}

Forward and backward pass of one micro-batch are run on tensors that have a shape and no content
(`torch._subclasses.FakeTensorMode`), and what the real ones would hold at each moment is added up.
So every architecture, adapter and form of attention is counted by the code that trains.
"""

import json
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, T5Config, T5ForConditionalGeneration
from transformers.integrations import moe

from tasks.config import Train
from tasks.errors import BadInput, BadRecipe
from tasks.training.adapters import num_parameters, with_adapters
from tasks.training.attention import attention
from tasks.training.encoding import COLUMNS, encode_examples
from tasks.training.forecast import (
    ALONE,
    CHANGES,
    Change,
    Footprint,
    Forecast,
    ForecastJob,
    Shape,
    alternatives,
    shape_of,
)
from tasks.training.memory import recompute_activations
from tasks.training.model import load_tokenizer, trusted, unloaded
from tasks.training.optimizer import make_optimizer
from tasks.training.packing import wants_packing
from tasks.training.precision import autocast, pick_device, products, uses_bf16
from tasks.training.supervised import logits_at

FP32_BYTES = 4

TINY: Any = {
    "vocab_size": 256, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4
}  # fmt: skip
"""The model that shows what libraries take."""

TINY_LENGTHS = (64, 32, 96, 128)
"""Tokens in the rows of its batches; kernels are made for each length."""


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do the operation and count what it made."""
        try:
            result = func(*args, **(kwargs or {}))
        except DataDependentOutputException:
            # What a model asks for: no layer is left out at random (M2M100), and no token is one
            # that all others attend to (LED).
            return 1.0 if args[0].is_floating_point() else False
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:  # views share one
            self._known.add(key)
            weakref.finalize(storage, self._forget, key, size)
            self.live += size
            self.peak = max(self.peak, self.live)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def footprint(
    folder: Path, train: Train, shape: Shape, device: torch.device, trust_remote_code: bool = False
) -> Footprint:
    """What training holds at its peak, without the libraries themselves.

    Args:
        folder: The model's; only its config is read.
        train: The recipe's section.
        shape: The largest micro-batch.
        device: Where it is to train.
        trust_remote_code: Run code of the folder.
    """
    model = _without_content(folder, train, trust_remote_code)
    activations = shape.fullness * _activations(model, train, shape, device)
    return states(folder, train, trust_remote_code).model_copy(
        update={"activations": round(activations)}
    )


def states(folder: Path, train: Train, trust_remote_code: bool = False) -> Footprint:
    """The footprint without activations, known without running a pass."""
    model = _without_content(folder, train, trust_remote_code)
    held = {id(t): t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers())}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    count, total = num_parameters(model)
    shards = train.launch.num_processes if train.launch.accelerate == "fsdp" else 1
    return Footprint(
        parameters=total,
        trainable_parameters=count,
        weights=sum(held.values()) // shards,
        gradients=FP32_BYTES * count // shards,
        optimizer=sum(_moments(weight.shape, train) for weight in trained) // shards,
        activations=0,
    )


def _activations(model: Any, train: Train, shape: Shape, device: torch.device) -> int:
    """Peak bytes of a forward and backward pass besides weights and gradients."""
    bf16 = uses_bf16(train.precision, device)  # which may have to measure, so not within the mode
    memory = LiveMemory()
    with _experts_by_any_type(), FakeTensorMode(allow_non_fake_inputs=True), memory:
        model.to_empty(device=device)
        model.tie_weights()
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        if shape.accumulates:
            for weight in trained:
                weight.grad = torch.zeros_like(weight)
        held = memory.live
        _pass(model, train, shape, device, bf16)
    gradients = 0 if shape.accumulates else FP32_BYTES * sum(map(torch.numel, trained))
    return max(0, memory.peak - held - gradients)  # gradients come while activations go


@contextmanager
def _experts_by_any_type() -> Iterator[None]:
    """Within it, a mixture of experts computes by what, without content, takes fp32 too."""
    usual, moe._can_use_grouped_mm = moe._can_use_grouped_mm, lambda *_: False
    try:
        yield
    finally:
        moe._can_use_grouped_mm = usual


def _without_content(folder: Path, train: Train, trust_remote_code: bool) -> Any:
    with torch.device("meta"):
        return with_adapters(unloaded(folder, trust_remote_code), train)


def _pass(model: Any, train: Train, shape: Shape, device: torch.device, bf16: bool) -> None:
    """Forward and backward pass, as in `loop.Trainer`, but for what depends on content."""
    if train.gradient_checkpointing:
        recompute_activations(model)
    model.train()
    supervised = torch.zeros(shape.rows * shape.completion, dtype=torch.long, device=device)
    inputs = _inputs(bool(model.config.is_encoder_decoder), shape, device)

    def predicted() -> torch.Tensor:
        with autocast(bf16, device):
            head = model.get_output_embeddings()
            return logits_at(supervised, model, head, inputs).float()

    with products(bf16, device), attention(device):
        # Nothing else may hold the logits, which are gone by then where it trains.
        cross_entropy(predicted(), supervised, reduction="sum").backward()  # type: ignore[no-untyped-call]


def _inputs(
    is_encoder_decoder: bool, shape: Shape, device: torch.device
) -> dict[str, torch.Tensor]:
    def ids(length: int) -> torch.Tensor:
        return torch.zeros(shape.rows, length, dtype=torch.long, device=device)

    prompt, completion = shape.prompt, shape.completion
    if is_encoder_decoder:
        return {
            "input_ids": ids(prompt),
            "attention_mask": ids(prompt),
            "decoder_input_ids": ids(completion),
        }
    return {"input_ids": ids(prompt + completion), "attention_mask": ids(prompt + completion)}


def _packs(folder: Path, train: Train, on_gpu: bool, trust_remote_code: bool) -> bool:
    """Whether examples are packed into rows, if the model can keep them apart."""
    config = AutoConfig.from_pretrained(folder, **trusted(trust_remote_code))
    return wants_packing(train, on_gpu) and not config.is_encoder_decoder


def _moments(shape: torch.Size, train: Train) -> int:
    """Bytes that the optimizer keeps of a weight."""
    if train.optimizer == "adamw":
        return 2 * FP32_BYTES * shape.numel()
    if len(shape) < 2:
        return FP32_BYTES * shape.numel()
    return FP32_BYTES * (shape.numel() // shape[-1] + shape.numel() // shape[-2])


def libraries_bytes(folder: Path, trust_remote_code: bool = False) -> int:
    """What a process holds that tokenizes and then trains a tiny model; 0 where a GPU trains.

    The libraries, the tokenizer, and what kernels keep for themselves once they have run.

    Args:
        folder: The tokenizer's.
        trust_remote_code: Run code of the folder.
    """
    if torch.cuda.is_available():
        return 0
    device = torch.device("cpu")
    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    with tempfile.TemporaryDirectory() as name:
        pairs = Path(name, "pairs.parquet")
        pq.write_table(pa.table({column: ["text"] for column in COLUMNS}), pairs)
        encode_examples(pairs, tokenizer, True, Train(), Path(name))
    model: Any = T5ForConditionalGeneration(T5Config(**TINY)).train()
    optimizer = make_optimizer(model, Train())
    for length in TINY_LENGTHS:
        ids = torch.zeros(8, length, dtype=torch.long)
        bf16 = uses_bf16("auto", device)
        with products(bf16, device), attention(device):
            with autocast(bf16, device):
                logits = model(input_ids=ids, decoder_input_ids=ids, use_cache=False).logits
            cross_entropy(logits.flatten(0, 1).float(), ids.flatten()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return int(psutil.Process().memory_info().rss)


def forecast(job: ForecastJob) -> Forecast:
    """What a training takes, and where that is too much: what would make it fit."""
    device = pick_device()
    on_gpu = device.type == "cuda"
    whole = torch.cuda.mem_get_info()[0] if on_gpu else job.available
    assert whole is not None
    available = whole // job.processes
    libraries = libraries_bytes(job.folder, job.trust_remote_code)

    trust = job.trust_remote_code
    packs = _packs(job.folder, job.train, on_gpu, trust)

    def shape(train: Train) -> Shape:
        return shape_of(train, job.prompt, job.completion, on_gpu, packs)

    own = footprint(job.folder, job.train, shape(job.train), device, trust)
    changes: list[Change] = []

    def offer(change: dict[str, Any], train: Train) -> None:
        room = whole if ALONE in change else available
        if states(job.folder, train, trust).total + libraries > room:
            return
        with suppress(BadRecipe):  # not every model can compute its activations again
            found = footprint(job.folder, train, shape(train), device, trust).total + libraries
            if found <= room:
                changes.append(Change(set=change, memory_bytes=found))

    if own.total + libraries > available:
        more = []  # than what is enough by itself
        for change, train in alternatives(job.train, on_gpu, packs, job.processes):
            if any(known.set.keys() <= change.keys() for known in changes):
                more.append((change, train))
            elif len(changes) < CHANGES:
                offer(change, train)
        for change, train in more:
            if len(changes) < CHANGES:
                offer(change, train)
    return Forecast(footprint=own, libraries=libraries, available=available, changes=tuple(changes))


def main(job_file: str) -> int:
    """Print the forecast as JSON, or what is wrong with the model or the recipe."""
    job = ForecastJob.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    try:
        print(forecast(job).model_dump_json())
    except BadInput as error:
        print(json.dumps([vars(issue) for issue in error.issues]))
        return error.exit_code
    return 0
