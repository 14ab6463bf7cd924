"""The base model's folder: found, fetched from the hub at its pinned revision, and checked.

models/pocket-flan/   config.json  generation_config.json  model.safetensors  tokenizer.json ...
"""

import difflib
import json
from pathlib import Path
from typing import Any

from tasks.config import BaseModelSection
from tasks.config.section import at_home
from tasks.errors import BadModel, first_line
from tasks.stage import digest_of_folder

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
CONFIGS = ("config.json", "tokenizer_config.json")
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "source.spm")
TOKENIZERS = ("tokenizer.json", "vocab.json", *SENTENCEPIECE)
TWO_VOCABULARIES = "vocab-src.json"
"""Of FSMT, whose tokenizer writes token ids in one language only."""

BYTE_TOKENIZER = "ByT5Tokenizer"
"""Reads bytes, so that its folder has no vocabulary."""

ADAPTER = "adapter_config.json"


def folder_of(section: BaseModelSection) -> Path:
    """The local folder of a base model.

    Raises:
        BadModel: It is missing or lacks a part; says which.
    """
    folder = Path(at_home(section.path)) if section.path else _fetched(section)
    check_model_folder(folder, section.from_scratch, section.allow_pickle)
    if section.trust_remote_code:
        _check_code(folder, section)
    return folder


def start_of(section: BaseModelSection) -> Path:
    """The local folder of the weights that training starts from.

    Raises:
        BadModel: It is missing or lacks a part; says which.
    """
    if section.start_from is None:
        return folder_of(section)
    folder = Path(at_home(section.start_from))
    check_model_folder(folder, from_scratch=False, allow_pickle=False)
    return folder


def _fetched(section: BaseModelSection) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    where = f"base_model: {section.hub}@{section.revision}"
    patterns = ["*.json", "*.safetensors", "*.model", "*.spm", "*.txt", "*.jinja"]
    if section.allow_pickle:
        patterns.append("*.bin")
    if section.trust_remote_code:
        patterns.append("*.py")
    try:
        folder = snapshot_download(
            str(section.hub), revision=section.revision, allow_patterns=patterns
        )
    except LocalEntryNotFoundError:
        mend = "connect to the hub once, or download the model and name its folder in `path`"
        raise BadModel(where, "a model on the hub", "the hub can't be reached", mend) from None
    except (HfHubHTTPError, HFValidationError) as error:
        found = first_line(error)
        raise BadModel(where, "a model on the hub", found, "check name and revision") from None
    return Path(folder)


def _meant(folder: Path) -> str:
    """What a path without a model may have been meant to say."""
    if not folder.is_absolute() and len(folder.parts) == 2 and not folder.parent.exists():
        return f"correct it, or for a model on the hub: {{hub: {folder}, revision: COMMIT}}"
    beside = [path.name for path in folder.parent.glob("*/") if (path / "config.json").exists()]
    close = difflib.get_close_matches(folder.name, beside, n=1)
    return f"did you mean {folder.parent / close[0]}?" if close else "correct base_model.path"


def check_model_folder(folder: Path, from_scratch: bool, allow_pickle: bool) -> None:
    """Check that a folder has what training needs, before anything is loaded.

    Raises:
        BadModel: Says which part is missing.
    """
    where = str(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise BadModel(where, "a folder in Hugging Face format", found, _meant(folder))
    if (folder / ADAPTER).exists():  # transformers would put it on, and train nothing else
        mend = "merge it into its base model (merge_and_unload of peft), and save that elsewhere"
        raise BadModel(where, "a model", f"a PEFT adapter ({ADAPTER})", mend)
    config = read_config(folder)
    _check_precision(folder, config)
    _check_tokenizer(folder)
    if not from_scratch:
        _check_weights(folder, allow_pickle)
    _check_vocabulary(folder, config)


def _check_precision(folder: Path, config: dict[str, Any]) -> None:
    quantization = config.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method", "unnamed")
        mend = "take the model's own weights (bf16, fp16, fp32); `train.method: qlora` makes 4 bits"
        raise BadModel(str(folder), "weights in 16 or 32 bits", f"quantized ones ({method})", mend)


def _check_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    settings = _read_object(path) if path.exists() else {}
    if settings.get("tokenizer_class") == BYTE_TOKENIZER:
        return
    if (folder / TWO_VOCABULARIES).exists():
        expected, found = "a tokenizer that reads prompts and completions", "one of FSMT's"
        mend = "take a translation model of another kind, such as Marian (opus-mt) or NLLB"
        raise BadModel(str(folder), expected, f"{found} ({TWO_VOCABULARIES})", mend)
    if not any((folder / name).exists() for name in TOKENIZERS):
        mend = "save the tokenizer into the folder (tokenizer.save_pretrained)"
        raise BadModel(str(folder), f"a tokenizer ({' or '.join(TOKENIZERS)})", "none", mend)


def needs_sentencepiece(folder: Path) -> bool:
    """Whether a tokenizer has a file that the package sentencepiece has to read."""
    if (folder / "tokenizer.json").exists():
        return False
    return any((folder / name).exists() for name in SENTENCEPIECE)


def _check_code(folder: Path, section: BaseModelSection) -> None:
    """Check that the code that would be run is the code that was pinned.

    Raises:
        BadModel: It is not, or lies in a repository that the revision does not pin.
    """
    found = digest_of_folder(folder)
    if section.path and found != section.revision:
        mend = "read the folder's *.py; if they may run, set base_model.revision to what was found"
        expected = f"the digest {section.revision} (base_model.revision)"
        raise BadModel(str(folder), expected, found, mend)
    for path in (folder / name for name in CONFIGS if (folder / name).exists()):
        if "--" in json.dumps(_read_object(path).get("auto_map")):
            mend = "copy that code into the folder, and name it in auto_map without repository"
            raise BadModel(str(path), "code of the folder itself", "that of another one", mend)


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config.json.

    Raises:
        BadModel: It is missing or not JSON.
    """
    path = folder / "config.json"
    if not path.exists():
        mend = "name the folder that `save_pretrained` wrote"
        raise BadModel(str(folder), "config.json", "none in the folder", mend)
    return _read_object(path)


def tensors_of(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors of a safetensors file, read from its header alone.

    The format: 8 bytes with the header's length (little endian), the header as JSON, the data
    (https://huggingface.co/docs/safetensors, "Format").

    Returns:
        Tensor name -> `{"dtype": ..., "shape": [...], "data_offsets": [start, end]}`.

    Raises:
        BadModel: Another kind of file, or one that is not whole.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(min(length, size))
    try:
        header: dict[str, dict[str, Any]] = json.loads(text)
        header.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _damaged(path, "another kind of content") from None
    if 8 + length + end != size:
        raise _damaged(path, f"{size:,} bytes where its header speaks of {8 + length + end:,}")
    return header


def _damaged(path: Path, found: str) -> BadModel:
    mend = "copy or download the file again (`git lfs pull` where it is a pointer)"
    return BadModel(str(path), "a whole safetensors file", found, mend)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(str(path), "JSON", str(error), "restore the file") from None
    if not isinstance(content, dict):
        raise BadModel(str(path), "a JSON object", type(content).__name__, "restore the file")
    return content


def _check_weights(folder: Path, allow_pickle: bool) -> None:
    if any((folder / name).exists() for name in WEIGHTS):
        for path in _weight_files(folder):
            tensors_of(path)
        return
    if any((folder / name).exists() for name in PICKLES):
        if allow_pickle:
            return
        mend = "save it again as safetensors, or trust it with base_model.allow_pickle: true"
        raise BadModel(str(folder), "weights as safetensors", "weights as a pickle", mend)
    mend = "name a folder with weights, or start anew with base_model.from_scratch: true"
    raise BadModel(str(folder), "model.safetensors", "no weights", mend)


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files, those that the index names among them.

    Raises:
        BadModel: One of them is missing.
    """
    index = folder / WEIGHTS[1]
    named = _read_object(index).get("weight_map", {}).values() if index.exists() else ()
    missing = sorted(name for name in set(named) if not (folder / name).exists())
    if missing:
        found = f"no {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
        raise BadModel(str(folder), f"the files that {index.name} names", found, "copy it again")
    return sorted(folder.glob("*.safetensors"))


def _check_vocabulary(folder: Path, config: dict[str, Any]) -> None:
    """A tokenizer that can produce ids beyond the embedding table belongs to another model."""
    path = folder / "tokenizer.json"
    size = config.get("vocab_size")
    if not path.exists() or not isinstance(size, int):
        return
    largest = max(_token_ids(_read_object(path)), default=0)
    if largest >= size:
        found = f"a tokenizer with ids up to {largest}"
        mend = "use the tokenizer that belongs to this model"
        raise BadModel(str(folder), f"token ids below vocab_size {size}", found, mend)


def _token_ids(tokenizer: dict[str, Any]) -> list[int]:
    vocabulary = tokenizer.get("model", {}).get("vocab", {})
    ids = (
        list(vocabulary.values()) if isinstance(vocabulary, dict) else list(range(len(vocabulary)))
    )
    return ids + [token["id"] for token in tokenizer.get("added_tokens", [])]
