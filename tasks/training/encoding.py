"""Tokenizes prompt-completion pairs once, into files that are mapped into memory afterwards.

    <workspace>/.tokens/<key>/
    ├── prompts.bin  completions.bin                  token ids one after the other, int32
    ├── prompt_lengths.bin  completion_lengths.bin    tokens of each example, int32
    ├── ids.bin  tasks.bin                            record ids, 16 bytes; numbers of tasks, int16
    └── encoded.json   {"tasks": ["moods"], "num_examples": 800, "bytes": {...}, ...}

The key is a hash of the pairs, the tokenizer and the length limits: another mixture, learning rate
or seed finds them done.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.config import Train
from tasks.data.batches import batches
from tasks.data.chats import asks_at_once
from tasks.data.conversations import Pair, joined
from tasks.data.thoughts import THOUGHT, begins_with_thought
from tasks.data.tokenizing import encode_completions, encode_prompt, encode_prompts
from tasks.launch import report
from tasks.stage import digest_of_file, digest_of_json, read_json, write_json
from tasks.training.examples import Examples, Ragged
from tasks.training.special_tokens import SpecialTokens

VERSION = "7"
BATCH_ROWS = 500
"""At once: more are not faster, and what their texts took stays with the process."""

KEPT = 4
SUMMARY = "encoded.json"
COLUMNS = ("id", "task", "prompt", "completion")
ARRAYS = {
    "prompts": "<i4",
    "prompt_lengths": "<i4",
    "completions": "<i4",
    "completion_lengths": "<i4",
    "ids": "S16",
    "tasks": "<i2",
}


def encode_examples(
    path: Path,
    tokenizer: Any,
    is_encoder_decoder: bool,
    limits: Train,
    folder: Path,
    writes: bool = True,
    events: Path | None = None,
) -> Examples:
    """The pairs in a Parquet file as token ids; tokenized where that has not been done yet.

    Args:
        path: File with the columns id, task, prompt, completion.
        tokenizer: The model's tokenizer.
        is_encoder_decoder: The model's architecture.
        limits: Length limits and what to do with examples over them.
        folder: Where the token ids are kept, those of the last four sets.
        writes: Whether this process tokenizes; of several, the others find it done.
        events: File that progress is reported to, if any.
    """
    place = folder / _key(path, tokenizer, is_encoder_decoder, limits)[:16]
    if not writes:
        return _mapped(place)
    if not _is_whole(place):
        shutil.rmtree(place, ignore_errors=True)
        partial = place.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write(path, tokenizer, is_encoder_decoder, limits, partial, events)
        partial.rename(place)
    _keep_newest(folder, place)
    return _mapped(place)


def _is_whole(place: Path) -> bool:
    """Whether it is there, and each of its files as long as when it was written."""
    summary = read_json(place / SUMMARY) if (place / SUMMARY).exists() else {"bytes": {}}
    return bool(summary["bytes"]) and summary["bytes"] == _sizes(place)


def _sizes(place: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in place.glob("*.bin")}


def _keep_newest(folder: Path, place: Path) -> None:
    """Remove all but the last sets used; `place` is the newest, whatever the clock says."""
    others = sorted((path.stat().st_mtime, path) for path in folder.iterdir() if path != place)
    now = max([time.time(), *(used + 1.0 for used, _ in others)])
    os.utime(place, (now, now))
    for _, old in others[: 1 - KEPT]:
        shutil.rmtree(old)


def _key(path: Path, tokenizer: Any, is_encoder_decoder: bool, limits: Train) -> str:
    fast = getattr(tokenizer, "backend_tokenizer", None)
    parts = [
        VERSION,
        digest_of_file(path),
        fast.to_str() if fast else [sorted(tokenizer.get_vocab().items()), _settings(tokenizer)],
        tokenizer.chat_template,
        tokenizer.special_tokens_map,
        is_encoder_decoder,
        [limits.max_prompt_tokens, limits.max_completion_tokens, limits.too_long],
        *_target(tokenizer),
    ]
    return digest_of_json(parts)


def _target(tokenizer: Any) -> list[str]:
    """What changes the ids of completions alone: of a translation model, the language."""
    translates = hasattr(tokenizer, "_switch_to_target_mode")
    return [f"target: {getattr(tokenizer, 'tgt_lang', None)}"] if translates else []


def _settings(tokenizer: Any) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in tokenizer.init_kwargs.items())


def _write(
    path: Path,
    tokenizer: Any,
    is_encoder_decoder: bool,
    limits: Train,
    folder: Path,
    events: Path | None,
) -> None:
    started, done = time.monotonic(), 0
    numbers: dict[str, int] = {}
    counts = {"num_examples": 0, "num_too_long": 0, "num_dropped": 0, "num_joined": 0}
    special, num_thoughts = SpecialTokens(tokenizer), 0
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.bin").open("wb")) for name in ARRAYS}
        pairs = pq.ParquetFile(path)
        for rows in batches(pairs, COLUMNS, BATCH_ROWS):
            if events and done:
                rate = round(done / (time.monotonic() - started), 1)
                total = pairs.metadata.num_rows
                report(events, "encode", done=done, total=total, examples_per_s=rate)
            done += rows.num_rows
            for task in pc.unique(rows["task"]).to_pylist():
                numbers.setdefault(task, len(numbers))
            columns = rows.to_pydict()
            special.look_at(columns)
            num_thoughts += sum(map(begins_with_thought, columns["completion"]))
            kept = _within_limits(columns, tokenizer, is_encoder_decoder, limits, counts)
            examples = kept if is_encoder_decoder else joined(kept)
            counts["num_joined"] += len(kept) - len(examples)
            counts["num_examples"] += len(examples)
            _append(files, examples, numbers)
    remarks = [special.in_words(done)]
    if num_thoughts and not is_encoder_decoder and asks_at_once(tokenizer):
        remarks.append(
            f"{num_thoughts:,} of {done:,} completions begin with a thought ({THOUGHT}), and the "
            "model is asked to leave that out: set base_model.chat_template: thinking"
        )
    told = {"special_tokens": special.num_examples, "remark": "; ".join(filter(None, remarks))}
    summary = {"tasks": list(numbers), **counts, **told, "bytes": _sizes(folder)}
    write_json(folder / SUMMARY, summary)


def _within_limits(
    columns: Mapping[str, list[str]],
    tokenizer: Any,
    is_encoder_decoder: bool,
    limits: Train,
    counts: dict[str, int],
) -> list[Pair]:
    prompts = encode_prompts(columns["prompt"], tokenizer, is_encoder_decoder)
    completions = encode_completions(columns["completion"], tokenizer, is_encoder_decoder)
    kept: list[Pair] = []
    rows_of = zip(columns["id"], columns["task"], prompts, completions, strict=True)
    for number, (record, task, prompt, completion) in enumerate(rows_of):
        fits_completion = len(completion) <= limits.max_completion_tokens
        fits = fits_completion and len(prompt) <= limits.max_prompt_tokens
        counts["num_too_long"] += not fits
        if not fits and (limits.too_long == "drop" or not fits_completion):
            counts["num_dropped"] += 1
            continue
        if not fits:  # cut as scoring and serving cut it
            text, limit = columns["prompt"][number], limits.max_prompt_tokens
            prompt, _ = encode_prompt(text, tokenizer, is_encoder_decoder, limit)
        kept.append((record, task, prompt, completion))
    return kept


def _append(
    files: Mapping[str, BinaryIO], examples: Sequence[Pair], numbers: dict[str, int]
) -> None:
    arrays: dict[str, Iterator[Any]] = {
        "prompts": chain.from_iterable(prompt for _, _, prompt, _ in examples),
        "prompt_lengths": (len(prompt) for _, _, prompt, _ in examples),
        "completions": chain.from_iterable(completion for *_, completion in examples),
        "completion_lengths": (len(completion) for *_, completion in examples),
        "ids": (record.encode() for record, *_ in examples),
        "tasks": (numbers[task] for _, task, *_ in examples),
    }
    for name, values in arrays.items():
        files[name].write(np.fromiter(values, ARRAYS[name]).tobytes())


def _mapped(folder: Path) -> Examples:
    arrays = {name: _array(folder / f"{name}.bin", kind) for name, kind in ARRAYS.items()}
    summary = read_json(folder / SUMMARY)
    numbers = set(np.unique(arrays["tasks"]).tolist())
    return Examples(
        ids=arrays["ids"].astype("U16"),
        tasks=np.asarray(summary["tasks"], dtype=str)[arrays["tasks"]],
        prompts=Ragged.of_lengths(arrays["prompts"], arrays["prompt_lengths"]),
        completions=Ragged.of_lengths(arrays["completions"], arrays["completion_lengths"]),
        num_too_long=summary["num_too_long"],
        num_dropped=summary["num_dropped"],
        num_joined=summary["num_joined"],
        num_special=summary["special_tokens"],
        remark=summary["remark"],
        emptied=tuple(t for number, t in enumerate(summary["tasks"]) if number not in numbers),
    )


def _array(path: Path, kind: str) -> npt.NDArray[Any]:
    if path.stat().st_size == 0:
        return np.empty(0, kind)  # an empty file can't be mapped
    return np.memmap(path, kind, mode="r")
