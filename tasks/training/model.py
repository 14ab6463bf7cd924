"""Loads the base model and its tokenizer, whatever their architecture, by the Auto classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
)
from transformers.activations import GELUTanh, NewGELUActivation
from transformers.utils import logging
from transformers.utils.quantization_config import QuantizationConfigMixin

from tasks.errors import BadModel


def trusted(trust_remote_code: bool) -> dict[str, Any]:
    """What transformers may do while it loads: nothing is fetched, code is run where it is said.

    Left open, transformers would ask.
    """
    return {"local_files_only": True, "trust_remote_code": trust_remote_code}


def load_tokenizer(
    folder: Path,
    chat_template: Literal["auto", "none"] = "auto",
    trust_remote_code: bool = False,
) -> Any:
    """The tokenizer in a model folder, with a padding token.

    Args:
        folder: Hugging Face folder.
        chat_template: Whether it keeps its chat template; what is saved of it then does too.
        trust_remote_code: Run code of the folder.

    Raises:
        BadModel: It cannot be loaded, or has no token that ends a text.
    """
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, **trusted(trust_remote_code))
    except (OSError, ValueError, KeyError) as error:
        mend = "save the tokenizer into the folder again (tokenizer.save_pretrained)"
        raise BadModel(str(folder), "a tokenizer", str(error).splitlines()[0], mend) from None
    if tokenizer.eos_token_id is None:
        raise BadModel(
            str(folder), "an end-of-text token (eos_token)", "none", "set it in the tokenizer"
        )
    if chat_template == "none":
        tokenizer.chat_template = None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    folder: Path,
    from_scratch: bool = False,
    allow_pickle: bool = False,
    quantization: QuantizationConfigMixin | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """The model in a folder, its weights in fp32 where nothing else is asked.

    Args:
        folder: Hugging Face folder.
        from_scratch: Initialise the weights from the current torch seed instead.
        allow_pickle: Accept weights that are a pickle.
        quantization: Hold the weights in fewer bits.
        trust_remote_code: Run code of the folder.

    Raises:
        BadModel: Its architecture is unknown, or its weights cannot be read or belong to another.
    """
    # It would print among the answers of `retune ask`.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        config = AutoConfig.from_pretrained(folder, **trusted(trust_remote_code))
        auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        if from_scratch:
            model: PreTrainedModel = auto.from_config(
                config, dtype=torch.float32, trust_remote_code=trust_remote_code
            )
            return _with_fused_gelu(model)
        model, loaded = auto.from_pretrained(
            folder,
            dtype=torch.float32,
            **trusted(trust_remote_code),
            use_safetensors=None if allow_pickle else True,
            ignore_mismatched_sizes=True,  # told below, by name
            output_loading_info=True,
            quantization_config=quantization,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        mend = "check that the folder is whole and that transformers knows its model_type"
        raise BadModel(str(folder), "a model", str(error).splitlines()[0], mend) from None
    _check_weights(loaded, folder)
    return _with_fused_gelu(model)


def blocks_of(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The layers that a model is stacked from, as its architecture names them."""
    names = set(model._no_split_modules or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def _with_fused_gelu(model: PreTrainedModel) -> PreTrainedModel:
    """Have `gelu_new` of T5 v1.1 and GPT-2 computed by one kernel instead of eight.

    The values are the same within rounding. On one core, the embedded model then trains on 5,560
    instead of 4,840 tokens a second.
    """
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, GELUTanh())
    return model


def _check_weights(loaded: Mapping[str, Any], folder: Path) -> None:
    """See that no weight was left at its random initialisation."""
    mismatched = [name for name, *_ in loaded["mismatched_keys"]]
    unfit = sorted([*loaded["missing_keys"], *mismatched])
    if unfit:
        found = f"{len(unfit)} tensors missing or of another shape, such as {unfit[0]}"
        mend = "take config.json and weights from the same model"
        raise BadModel(str(folder), "weights that fit config.json", found, mend)


def check_vocabulary(model: PreTrainedModel, tokenizer: Any, folder: Path) -> None:
    """See that every token has an embedding.

    Raises:
        BadModel: The tokenizer belongs to another model.
    """
    rows: int = model.get_input_embeddings().weight.size(0)  # type: ignore[operator]
    if len(tokenizer) > rows:
        found = f"a tokenizer of {len(tokenizer)} tokens"
        mend = "use the tokenizer that belongs to this model"
        raise BadModel(str(folder), f"at most {rows} tokens, one per embedding", found, mend)
