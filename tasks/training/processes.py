"""How one model is trained in several processes, and what each of them does of a step.

The share of Processes(rank=1, size=4) of seven micro-batches are the second and the sixth.

The transport is that of torch: gradients are averaged by `DistributedDataParallel`, or sharded with
weights and optimizer by `fully_shard` (FSDP2).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from tasks.errors import BadRecipe
from tasks.processes import Processes
from tasks.training.adapters import load_trained_state, trained_state
from tasks.training.batching import Rows
from tasks.training.model import blocks_of

State = dict[str, Any]
Accelerate = Literal["ddp", "fsdp"]

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
"""A checkpoint holds whole tensors, so that any number of processes can go on from it."""


def share_of(processes: Processes, micro_batches: Sequence[Rows]) -> list[tuple[Rows, bool]]:
    """What a process does of a step: as many micro-batches as each of the others.

    Args:
        processes: This one, among the others.
        micro_batches: Those of the whole step.

    Returns:
        Rows, and whether they count: a process that would have less to do than another goes
        through some rows without learning from them, since all must take part in each pass.
    """
    size, pieces = processes.size, list(micro_batches)
    if len(pieces) < size:
        parts = -(-size // len(pieces))
        pieces = [part for rows in pieces for part in np.array_split(rows, parts) if len(part)]
    own = [(rows, True) for rows in pieces[processes.rank :: size]]
    idle = -(-len(pieces) // size) - len(own)
    return own + [(pieces[0], False)] * idle


BF16 = MixedPrecisionPolicy(
    param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
)
"""A block's weights are gathered in bf16, and freed; autocast would keep its copies of them all.
What goes from block to block stays in fp32, as in one process."""


def distribute(
    model: PreTrainedModel,
    processes: Processes,
    accelerate: Accelerate,
    in_bf16: bool = False,
) -> torch.nn.Module:
    """Prepare a model for several processes.

    Args:
        model: The model, on its device; for `fsdp` on any, and sharded in place.
        processes: Who trains together.
        accelerate: Whether each process holds the whole model, or a share of it.
        in_bf16: Whether `fsdp` gathers the weights of a block in bf16. It takes a GPU's autocast,
            or blocks without LayerNorm: on a CPU that has its inputs and weights in one precision.

    Returns:
        The module to call.
    """
    if processes.size == 1:
        return model
    if accelerate == "ddp":
        # Unlike a GPU's, a CPU's number of processes is not asked for, so that any model must do.
        # Of a multimodal one, what reads images has nothing to do.
        is_part = "text_config" in model.config.sub_configs
        return DistributedDataParallel(
            model,
            forward_sync_buffers=False,
            gradient_as_bucket_view=True,
            find_unused_parameters=is_part or model.device.type == "cpu",
        )
    policy = BF16 if in_bf16 else MixedPrecisionPolicy()
    for block in blocks_of(model):
        fully_shard(block, mp_policy=policy)
    fully_shard(model)
    return model


def gradients_stay(module: torch.nn.Module, is_last: bool) -> AbstractContextManager[Any]:
    """Within it, a backward pass leaves its gradients here, unless it is the last of a step.

    Not those of FSDP: each process would hold the gradients of all weights, and not its share.
    """
    if isinstance(module, DistributedDataParallel) and not is_last:
        return module.no_sync()
    return nullcontext()


def state_of(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, accelerate: Accelerate
) -> tuple[State, State]:
    """Whole weights and optimizer state; with FSDP all processes must ask, and the first gets.

    Of `fsdp`, also in one process, the optimizer's state is named after the weights.
    """
    if accelerate == "fsdp":
        return get_state_dict(model, optimizer, options=WHOLE)
    return trained_state(model), optimizer.state_dict()


def whole_weights(model: PreTrainedModel) -> State | None:
    """The weights that `save_pretrained` is to write; None for those that the model has."""
    if not isinstance(model, FSDPModule):
        return None
    # Gathered, those that share their weights are copies, of which each would be written.
    tied = model.all_tied_weights_keys
    weights = get_model_state_dict(model, options=WHOLE)
    return {name: weight for name, weight in weights.items() if name not in tied}


def set_state(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    accelerate: Accelerate,
    weights: State,
    moments: State,
) -> None:
    """Put back what `state_of` gave.

    Raises:
        BadRecipe: It was given for the other kind.
    """
    is_named = any(isinstance(w, str) for group in moments["param_groups"] for w in group["params"])
    if is_named != (accelerate == "fsdp"):
        begun = "fsdp" if is_named else "ddp"
        mend = "set it back, or give the recipe another name, under which training begins anew"
        raise BadRecipe("train.launch.accelerate", f"{begun}, as it was begun", accelerate, mend)
    if accelerate == "fsdp":
        set_state_dict(
            model, optimizer, model_state_dict=weights, optim_state_dict=moments, options=WHOLE
        )
    else:
        load_trained_state(model, weights)
        optimizer.load_state_dict(moments)
