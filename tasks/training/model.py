"""Loads the base model and its tokenizer, whatever their architecture, by the Auto classes."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from jinja2 import TemplateError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
)
from transformers.activations import GELUTanh, NewGELUActivation
from transformers.utils import logging
from transformers.utils.quantization_config import QuantizationConfigMixin

from tasks.config import ChatTemplate
from tasks.data.chat_template import ask_for_answers, default_template, settled
from tasks.data.tokenizing import stop_token_id
from tasks.errors import BadModel, first_line
from tasks.training.languages import set_languages

TOKEN_SETTINGS = (
    "bos_token_id",
    "pad_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "bad_words_ids",
)
"""What is kept of generation_config.json. Beams, penalties, lengths and sampling are not: they
would make models incomparable, and the registered model another than the one that was tested."""


UNUSABLE = (OSError, ValueError, KeyError, ImportError, StrictDataclassError)
"""What transformers raises for a folder that it can't make a model of."""

POSITIONS = ("max_position_embeddings", "max_seq_len")
ENCODER_POSITIONS, DECODER_POSITIONS = (
    f"max_{h}_position_embeddings" for h in ("encoder", "decoder")
)

MOST_AHEAD = 1e-3
"""Largest change of a logit, relative to the largest, that later tokens may make by rounding."""


def trusted(trust_remote_code: bool) -> dict[str, Any]:
    """What transformers may do while it loads: nothing is fetched, code is run where it is said.

    Left open, transformers would ask.
    """
    return {"local_files_only": True, "trust_remote_code": trust_remote_code}


def load_tokenizer(
    folder: Path,
    chat_template: ChatTemplate = "auto",
    trust_remote_code: bool = False,
) -> Any:
    """The tokenizer in a model folder, with a padding token and a settled chat template.

    Args:
        folder: Hugging Face folder.
        chat_template: Whether it keeps its chat template; what is saved of it then does too.
        trust_remote_code: Run code of the folder.

    Raises:
        BadModel: It cannot be loaded, or has no token that ends a text.
    """
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, **trusted(trust_remote_code))
    except ImportError as error:
        raise BadModel(str(folder), "a tokenizer", first_line(error), "install that") from None
    except StrictDataclassError as error:  # of config.json, which is read too
        raise _unusable(folder, error) from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # the last of sentencepiece
        mend = "save the tokenizer into the folder again (tokenizer.save_pretrained)"
        raise BadModel(str(folder), "a tokenizer", first_line(error), mend) from None
    if tokenizer.eos_token_id is None:
        raise BadModel(
            str(folder), "an end-of-text token (eos_token)", "none", "set it in the tokenizer"
        )
    if chat_template == "none":
        tokenizer.chat_template = None
    template = default_template(tokenizer.chat_template)
    if isinstance(template, str):  # without a default one, several are refused by `fit`
        tokenizer.chat_template = settled(template, chat_template == "thinking")
        ask_for_answers(tokenizer)
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
        if from_scratch:
            return _ready(unloaded(folder, trust_remote_code))
        config = _config(folder, trust_remote_code)
        model, loaded = _auto_class(config, folder).from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            **trusted(trust_remote_code),
            use_safetensors=None if allow_pickle else True,
            ignore_mismatched_sizes=True,  # told below, by name
            output_loading_info=True,
            quantization_config=quantization,
        )
    except (*UNUSABLE, SafetensorError) as error:
        raise _unusable(folder, error) from None
    _check_weights(loaded, folder)
    return _ready(model)


def unloaded(folder: Path, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model of a folder's config.json, its weights at random.

    Raises:
        BadModel: Its architecture is unknown, or does not write text.
    """
    try:
        config = _config(folder, trust_remote_code)
        model: PreTrainedModel = _auto_class(config, folder).from_config(
            config, dtype=torch.float32, trust_remote_code=trust_remote_code
        )
    except UNUSABLE as error:
        raise _unusable(folder, error) from None
    return model


def _config(folder: Path, trust_remote_code: bool) -> Any:
    """The model's config, with full attention for BigBird-Pegasus.

    With the first short text transformers would go over to it for good: what a text gets would
    depend on those before it, and a resumed training would end in other weights.
    """
    config = AutoConfig.from_pretrained(folder, **trusted(trust_remote_code))
    if getattr(config, "attention_type", None) == "block_sparse":
        config.attention_type = "original_full"
    return config


def _auto_class(config: Any, folder: Path) -> Any:
    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    is_known = type(config) in auto._model_mapping
    if not is_known and auto.__name__ not in getattr(config, "auto_map", {}):
        names = ", ".join(config.architectures or ()) or "no architecture named"
        mend = "take an encoder-decoder or decoder-only language model"
        raise BadModel(
            str(folder),
            "a language model, text in and text out",
            f"{config.model_type} ({names})",
            mend,
        )
    return auto


def _unusable(folder: Path, error: Exception) -> BadModel:
    found = first_line(error)
    mend = "check that the folder is whole and that transformers knows its model_type"
    if isinstance(error, StrictDataclassError):
        found, mend = " ".join(str(error).split()), "correct its config.json"
    elif "trust_remote_code" in str(error):
        found, mend = "one that needs code of its own", "allow it by base_model.trust_remote_code"
    return BadModel(str(folder), "a model", found, mend)


def _ready(model: PreTrainedModel) -> PreTrainedModel:
    """Use a fused GELU, and drop the folder's own generation settings: they are not measured."""
    _forget_capacities(model)
    given: Any = model.generation_config
    tokens = {name: getattr(given, name, None) for name in TOKEN_SETTINGS}
    model.generation_config = GenerationConfig(**tokens)  # type: ignore[no-untyped-call]
    return _with_fused_gelu(model)


def _forget_capacities(model: PreTrainedModel) -> None:
    """Have NLLB-MoE's routers begin each batch with the capacity of their experts in config.json.

    They would train on with that of the last batch of a validation, which no checkpoint has.
    """
    for module in model.modules():
        if hasattr(module, "expert_capacity"):
            module.register_forward_pre_hook(partial(_set_capacity, module.expert_capacity))


def _set_capacity(capacity: Any, module: torch.nn.Module, _: Any) -> None:
    module.expert_capacity = capacity


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
    """Check that no weight was left at its random initialisation."""
    mismatched = [name for name, *_ in loaded["mismatched_keys"]]
    unfit = sorted([*loaded["missing_keys"], *mismatched])
    if unfit:
        found = f"{len(unfit)} tensors missing or of another shape, such as {unfit[0]}"
        mend = "take config.json and weights from the same model"
        raise BadModel(str(folder), "weights that fit config.json", found, mend)


def start_token_ids(model: Any) -> list[int]:
    """The tokens that an encoder-decoder's completion starts from when it is generated.

    The start token, and where one must come first (NLLB: the language), that one.
    """
    start, first = start_token_id(model), model.generation_config.forced_bos_token_id
    return [] if start is None else [start] if first is None else [start, first]


def barred_token_ids(model: Any) -> list[int]:
    """The tokens that a model is never to write (Marian: padding, whose logit is always 0)."""
    words = model.generation_config.bad_words_ids or ()
    return [word[0] for word in words if len(word) == 1]


def start_token_id(model: Any) -> int | None:
    """The token that an encoder-decoder's completion starts from, by the rule of transformers.

    Returns:
        None for a decoder-only model, and where none is named.
    """
    if not model.config.is_encoder_decoder:
        return None
    given, config = model.generation_config, model.config
    named = (given.decoder_start_token_id, getattr(config, "decoder_start_token_id", None))
    return next((token for token in (*named, given.bos_token_id) if token is not None), None)


def num_positions(model: Any) -> tuple[int | None, int | None]:
    """The most tokens that a model reads, and the most that it writes; None: it sets no limit.

    For a decoder-only model both are for prompt and completion together.
    """
    config = model.config
    if hasattr(config, ENCODER_POSITIONS):  # LED
        return getattr(config, ENCODER_POSITIONS), getattr(config, DECODER_POSITIONS)
    text = config.get_text_config(decoder=True)
    named = [getattr(text, name, None) for name in POSITIONS]
    both = next((number for number in named if number and number > 0), None)
    return both, both


def stop_token_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a completion: the one that is trained, and those that the model has."""
    given = model.generation_config.eos_token_id
    own = given if isinstance(given, list) else [given]
    return sorted({stop_token_id(tokenizer, bool(model.config.is_encoder_decoder)), *own} - {None})


def fit(model: Any, tokenizer: Any, folder: Path) -> None:
    """Check that model and tokenizer belong together, and tell the model what ends a completion.

    What is saved of it then stops where it was trained to, whoever generates with it, and a
    translation model starts with its language.

    Raises:
        BadModel: A token has no embedding, no token starts a completion, a language is not told, or
            the chat template can't be used.
    """
    _check_vocabulary(model, tokenizer, folder)
    set_languages(model, tokenizer, folder)
    is_encoder_decoder = bool(model.config.is_encoder_decoder)
    if is_encoder_decoder and start_token_id(model) is None:
        mend = "set it in config.json"
        raise BadModel(str(folder), "a decoder_start_token_id", "none", mend)
    if tokenizer.chat_template is not None and not is_encoder_decoder:
        _check_chat(tokenizer, folder)
    stops = stop_token_ids(model, tokenizer)
    model.generation_config.eos_token_id = stops if len(stops) > 1 else stops[0]


@torch.no_grad()
def check_finite(model: PreTrainedModel, folder: Path) -> None:
    """Check that no weight is infinite or not a number: training would keep it, or spread it.

    Raises:
        BadModel: One is.
    """
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not weight.isfinite().all():
            found, mend = f"one that is not, in {name}", "take it from where it came once more"
            raise BadModel(str(folder), "weights that are numbers", found, mend)


@torch.no_grad()
def check_causal(model: Any, folder: Path) -> None:
    """Check by a trial that a decoder-only model does not see the tokens that it predicts.

    Encoders of the BERT family can be loaded as decoders, and then copy what they should predict.

    Raises:
        BadModel: What it says of a token depends on later ones.
    """
    if model.config.is_encoder_decoder:
        return
    ids = torch.tensor([[0, 1, 2, 0], [0, 1, 2, 1]], device=model.device)
    first, second = model.eval()(input_ids=ids, use_cache=False).logits[:, :-1].float()
    if (first - second).abs().max() > MOST_AHEAD * first.abs().max():
        expected = "a decoder, which sees no token ahead"
        mend = "take an encoder-decoder or decoder-only language model"
        raise BadModel(str(folder), expected, f"an encoder ({model.config.model_type})", mend)


def _check_chat(tokenizer: Any, folder: Path) -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes"}]
    expected = "a chat template that writes a user's turn and the assistant's, as plain text"
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, ValueError, TypeError) as error:
        found = first_line(error)
    else:
        if "Hello" in text and "Yes" in text:
            return
        found = f"one that makes of them {text!r}"
    mend = "mend it in the tokenizer, or set base_model.chat_template: none"
    raise BadModel(str(folder), expected, found, mend)


def _check_vocabulary(model: Any, tokenizer: Any, folder: Path) -> None:
    rows: int = model.get_input_embeddings().weight.size(0)
    if len(tokenizer) > rows:
        found = f"a tokenizer of {len(tokenizer)} tokens"
        mend = "use the tokenizer that belongs to this model"
        raise BadModel(str(folder), f"at most {rows} tokens, one per embedding", found, mend)
