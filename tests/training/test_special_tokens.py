"""Special tokens that stand in the data as text are told; those put there on purpose are not."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.memory import write_rows
from tasks.config import Train
from tasks.prompts.denoising import corrupted, removed
from tasks.training.encoding import encode_examples
from tasks.training.examples import Examples
from tests.training.attempts import attempt

TEXT = "the boat left the bay at dawn and nobody on the pier saw it go " * 3
ON_PURPOSE = [
    ("Say red", "red"),
    ("<|user|>\nRed?\n<|assistant|>\nYes.\n<|user|>\nBlue?", "blue"),
    (corrupted(TEXT, rate=0.3, span=3), removed(TEXT, rate=0.3, span=3)),
]
IN_THE_DATA = [
    ("Is <s> or </s> the end, </s>?", "neither"),
    ("What ends it?", "It is </s>."),
    ("The gap <extra_id_0> is", "wide"),
    ("What does <|user|> say?", "red"),
]


@pytest.fixture
def chat(tiny_tokenizer: Any) -> Any:
    """A tokenizer whose turns begin and end with special tokens."""
    tokenizer = copy.deepcopy(tiny_tokenizer)
    marks = ["<|user|>", "<|assistant|>", "<|end|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    return tokenizer


def encode(path: Path, tokenizer: Any) -> Examples:
    return encode_examples(path, tokenizer, False, Train(), path.parent / "tokens")


def test_what_is_there_on_purpose_is_not_told(tmp_path: Path, chat: Any) -> None:
    examples = encode(write_rows(tmp_path / "pairs.parquet", ON_PURPOSE), chat)
    assert chat.convert_tokens_to_ids("<|user|>") in examples.prompts.flat
    assert chat.convert_tokens_to_ids("<extra_id_0>") in examples.prompts.flat
    assert (examples.num_special, examples.remark) == (0, "")


def test_what_is_in_the_data_is_told_each_time(tmp_path: Path, chat: Any) -> None:
    path = write_rows(tmp_path / "pairs.parquet", ON_PURPOSE + IN_THE_DATA)
    for _ in range(2):
        examples = encode(path, chat)
        assert examples.num_special == 4
        assert examples.remark.startswith("4 of 7 examples have text that the tokenizer reads as")
        assert "(`</s>` in 2, " in examples.remark
        assert "`<extra_id_0>` in 1" in examples.remark and "`<|user|>` in 1" in examples.remark
        assert f"the record {3:016x}" in examples.remark


@pytest.mark.usefixtures("forked_children")
def test_a_training_tells_it(tmp_path: Path, write_job: Callable[..., Path]) -> None:
    job = write_job(tmp_path / "job", "t5", 30, epochs=1)
    file = job.parent / "train.parquet"
    rows = pq.read_table(file)
    prompts = pa.array([f"</s> {prompt}" for prompt in rows["prompt"].to_pylist()])
    place = rows.column_names.index("prompt")
    pq.write_table(rows.set_column(place, "prompt", prompts), file)
    assert attempt(job)
    events = map(json.loads, (job.parent / "events.jsonl").read_text("utf-8").splitlines())
    [told] = [event["text"] for event in events if event["event"] == "warning"]
    assert told.startswith("on the side train, 30 of 30 examples")
    summary = json.loads((job.parent / "output" / "summary.json").read_text("utf-8"))
    assert summary["special_tokens_in_text"] == 30
