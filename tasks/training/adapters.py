"""Low-rank adapters (LoRA, arXiv 2106.09685) by peft: put on, saved, and merged into the weights.

    adapter/   adapter_config.json  adapter_model.safetensors     a standard peft folder
    model/     config.json  model.safetensors ...                 base model and adapter in one

`PeftModel.from_pretrained(base, "adapter")` computes what `model/` does.
"""

import json
import shutil
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    prepare_model_for_kbit_training,
    set_peft_model_state_dict,
)
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from tasks.config import Train
from tasks.errors import BadRecipe
from tasks.training.batching import Batch
from tasks.training.supervised import predicted

TOLERANCE = 1e-4
"""Largest difference between the logits of merged weights and of base model with adapter, as a
share of the largest logit: what the rounding of fp32 sums explains, and no more."""

ADAPTER_CONFIG = "adapter_config.json"

NO_PRODUCT = ("Router", "GroupedLinear")
"""How the names of linear layers end whose output is another thing than a product."""

MAMBA = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
"""Architectures whose kernels read the weights of `out_proj` without calling it, so that an adapter
of it would not count; peft refuses one."""


def quantization_of(train: Train) -> BitsAndBytesConfig | None:
    """How the base model is held while a method trains: in 4 bits, NF4, for `qlora`."""
    if train.method != "qlora":
        return None
    config: Any = BitsAndBytesConfig  # untyped
    quantization: BitsAndBytesConfig = config(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return quantization


def with_adapters(model: PreTrainedModel, train: Train) -> Any:
    """The model as its method trains it: as it is, or frozen with trainable adapters.

    Args:
        model: The base model; adapters are put into it.
        train: The recipe's section.

    Raises:
        BadRecipe: It has not all of the layers that `train.lora.targets` names, or one of them can
            have no adapter.
    """
    if train.method == "full":
        return model
    if train.method == "qlora":
        prepare: Any = prepare_model_for_kbit_training  # untyped
        model = prepare(model, use_gradient_checkpointing=False)
    lora, is_auto = train.lora, train.lora.targets == "auto"
    config = LoraConfig(
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear" if is_auto else list(lora.targets),
        exclude_modules=_without_adapter(model) if is_auto else None,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        # GPT-2 keeps its weights transposed.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    if not is_auto:
        _check_targets(model, lora.targets)
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise _bad_targets("layers that can have an adapter", str(error)) from None
    _check_loads(adapted)
    return adapted


def _without_adapter(model: PreTrainedModel) -> list[str]:
    """Linear layers that can have none, for they do not just multiply, or not for themselves.

    Routers of Llama 4 return more than the product, grouped ones of DeepSeek V4 make several, and
    blocks of Zamba have the weights of others, into which each would be merged.
    """
    names = ["out_proj"] if model.config.model_type in MAMBA else []
    uses = _uses(model)
    return names + [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear)
        and (type(layer).__name__.endswith(NO_PRODUCT) or uses[id(layer.weight)] > 1)
    ]


def _uses(model: torch.nn.Module) -> Counter[int]:
    """How many layers have a weight, by its `id`."""
    layers = (layer for _, layer in model.named_modules(remove_duplicate=False))
    return Counter(id(layer._parameters["weight"]) for layer in layers if _has_weight(layer))


def _check_loads(model: PeftModel) -> None:
    """Check that peft finds all of an adapter again, which it renames as transformers does layers.

    What it does not find it leaves out without a word: shared experts of Laguna.
    """
    loaded: Any = set_peft_model_state_dict(model, trained_state(model))  # wrongly typed
    lost = [name for name in loaded.missing_keys if "lora_" in name]
    if lost:
        found = f"{len(lost)} tensors that it does not find again, such as {lost[0]}"
        raise _bad_targets("layers whose adapters peft loads", found, "take train.method: full")


def _check_targets(model: torch.nn.Module, targets: Sequence[str]) -> None:
    """Check that each name is that of layers, and that none of these has another one's weights."""
    named = dict(model.named_modules(remove_duplicate=False))
    uses = _uses(model)
    for target in targets:
        layers = {name: layer for name, layer in named.items() if f".{name}".endswith(f".{target}")}
        if not layers:
            raise _bad_targets("names of layers that the model has", target)
        for name, layer in layers.items():
            if _has_weight(layer) and uses[id(layer._parameters["weight"])] > 1:
                found = f"{name}, whose weights another layer has too"
                raise _bad_targets("layers with weights of their own", found)


def _has_weight(layer: torch.nn.Module) -> bool:
    return layer._parameters.get("weight") is not None


def _bad_targets(expected: str, found: str, otherwise: str = "take `auto`") -> BadRecipe:
    return BadRecipe("train.lora.targets", expected, found, f"name others, or {otherwise}")


def num_parameters(model: torch.nn.Module) -> tuple[int, int]:
    """How many parameters are trained, and how many there are, adapters included."""
    if isinstance(model, PeftModel):
        trainable, total = model.get_nb_trainable_parameters()
        return int(trainable), int(total)
    weights = list(model.parameters())
    trained = [weight.numel() for weight in weights if weight.requires_grad]
    return sum(trained), sum(weight.numel() for weight in weights)


def trained_state(model: torch.nn.Module) -> dict[str, Any]:
    """The weights that training changes, for a checkpoint: all, or those of the adapters."""
    if isinstance(model, PeftModel):
        state: dict[str, Any] = get_peft_model_state_dict(model, save_embedding_layers=False)
        return state
    return model.state_dict()


def load_trained_state(model: torch.nn.Module, state: Mapping[str, Any]) -> None:
    """Put back what `trained_state` gave."""
    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, dict(state))
    else:
        model.load_state_dict(state)


def save_trained(model: Any, folder: Path, weights: Mapping[str, Any] | None = None) -> None:
    """Save the model, or its adapter alone, as a folder that the libraries load.

    Args:
        model: The model that is trained.
        folder: Folder to write to.
        weights: What to write instead of the model's own weights, where it has only a share.
    """
    if not isinstance(model, PeftModel):
        model.save_pretrained(folder, state_dict=weights)
        return
    # With "auto", peft would ask the hub for the base model's config.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # an empty form


def name_base(adapter: Path, base: str, revision: str | None) -> None:
    """Write down which model an adapter belongs to, by a name that holds on every machine.

    The same adapter has the same file afterwards.
    """
    path = adapter / ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base, "revision": revision}
    for name in ("target_modules", "exclude_modules"):
        if isinstance(config[name], list):  # of a set, whose order is another in each process
            config[name].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def scale_adapter(adapter: Path, alpha: float) -> None:
    """Make an adapter do a share `alpha` of what it did, as interpolated weights do.

    The update is linear in lora_alpha. Not so with DoRA: its adapter is removed.
    """
    path = adapter / ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    if config["use_dora"]:
        shutil.rmtree(adapter)
        return
    config["lora_alpha"] *= alpha
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@torch.no_grad()
def merge(base: PreTrainedModel, adapter: Path, batch: Batch) -> tuple[Any, float]:
    """Merge an adapter into the model it was trained on, and see that this changes no output.

    Args:
        base: The base model in fp32 on the CPU, without adapters; they are merged into it.
        adapter: Folder of the adapter.
        batch: What to compare the predictions for.

    Returns:
        The merged model, and the largest difference between its logits and those of base model
        and adapter at the supervised positions, as a share of the largest logit.

    Raises:
        ArithmeticError: They differ by more than `TOLERANCE`.
    """
    with warnings.catch_warnings():
        # The name in the adapter's config is not that of the folder the base model lies in.
        warnings.filterwarnings("ignore", message=".*config file")
        adapted = PeftModel.from_pretrained(base, adapter).eval()
    expected, _ = predicted(batch, base.device, adapted, adapted.get_output_embeddings())
    # Else peft unties the output layer of T5Gemma, which has the decoder's embeddings and not the
    # encoder's, and what is saved of it can't be loaded.
    is_tied = getattr(base.config, "tie_word_embeddings", False)  # Inkling's has no such word
    base.config.tie_word_embeddings = False
    merged: Any = adapted.merge_and_unload()  # what is not finite is found below, without a copy
    merged.config.tie_word_embeddings = is_tied
    found, _ = predicted(batch, base.device, merged, merged.get_output_embeddings())
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= TOLERANCE:
        raise ArithmeticError(
            f"the logits of the merged model differ from those of base model and adapter by "
            f"{difference:.1e} of the largest; expected at most {TOLERANCE:.0e}"
        )
    return merged, difference
