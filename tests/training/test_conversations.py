"""A conversation is read once, and teaches what its answers teach one by one."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.functional import cross_entropy

from tasks.config import Train
from tasks.data.light_tokenizer import token_counts
from tasks.data.shapes import prompts_and_completions
from tasks.training.batching import collate_for, plan_steps
from tasks.training.encoding import encode_examples
from tasks.training.epoch_work import _examples
from tasks.training.examples import Examples
from tasks.training.model import load_model
from tasks.training.supervised import predicted

CHAT = (
    "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
FORGETS_ANSWERS = CHAT.replace("{{ turn.content }}", "{{ turn.content[:3] }}")
COLOURS = ("red", "green", "blue", "black")


def conversation(number: int, answers: int) -> list[dict[str, str]]:
    """The pairs of a conversation: so many questions, each with its answer."""
    turns = [{"role": "system", "content": f"Number {number}."}]
    for colour in COLOURS[:answers]:
        turns += [
            {"role": "user", "content": f"Say the colour {colour} again."},
            {"role": "assistant", "content": f"{colour} {number}"},
        ]
    return prompts_and_completions(turns)


PAIRS = [
    {"id": f"{number:08x}{turn:08x}", "task": task} | pair
    for number, (task, answers) in enumerate([("a", 4), ("a", 2), ("b", 1), ("b", 3)])
    for turn, pair in enumerate(conversation(number, answers))
]


def encoded(tokenizer: Any, rows: list[dict[str, str]], folder: Path, **train: Any) -> Examples:
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "pairs.parquet")
    return encode_examples(folder / "pairs.parquet", tokenizer, False, Train(**train), folder)


@pytest.fixture
def chat(tiny_tokenizer: Any) -> Any:
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = CHAT
    return tokenizer


def learnt(model: Any, tokenizer: Any, examples: Examples, packs: bool) -> tuple[float, Any, int]:
    """Summed loss, its gradient and the tokens read, in micro-batches of two kinds of packing."""
    total, tokens = 0.0, 0
    steps = plan_steps(np.arange(len(examples)), examples, Train(batch_tokens=512), 256, packs, 0)
    for batch in (
        collate_for(model, tokenizer, rows, examples, packs) for step in steps for rows in step
    ):
        loss = cross_entropy(
            *predicted(batch, torch.device("cpu"), model, model.lm_head), reduction="sum"
        )
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
        tokens += batch.num_tokens
        assert batch.num_supervised == int((batch.labels != -100).sum())
    gradient = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    model.zero_grad()
    return total, gradient, tokens


@pytest.mark.parametrize("packs", [False, True])
def test_loss_and_gradients_are_those_of_the_answers_one_by_one(
    chat: Any, tiny_models: dict[str, Path], tmp_path: Path, packs: bool
) -> None:
    together = encoded(chat, PAIRS, tmp_path / "together")
    apart = encoded(chat, PAIRS[::-1], tmp_path / "apart")
    assert (len(together), together.num_joined) == (4, 6)
    assert (len(apart), apart.num_joined) == (10, 0)
    assert together.supervised.sum() == apart.supervised.sum()
    model = load_model(tiny_models["llama"]).eval()  # type: ignore[no-untyped-call]
    once, several = (learnt(model, chat, examples, packs) for examples in (together, apart))
    assert once[0] == pytest.approx(several[0], rel=1e-5)
    torch.testing.assert_close(once[1], several[1], atol=1e-4, rtol=1e-4)
    assert once[2] < 0.55 * several[2]


def test_a_joined_example_is_the_conversation_with_its_answers_learnt(
    chat: Any, tmp_path: Path
) -> None:
    examples = encoded(chat, PAIRS, tmp_path / "tokens")
    assert examples.tasks.tolist() == ["a", "a", "b", "b"]
    assert [row[:8] for row in examples.ids] == [f"{number:08x}" for number in range(4)]
    text = "<system>Number 1.</s><user>Say the colour red again.</s><assistant>"
    assert chat.decode(examples.prompts[1]) == text
    completion = examples.completions[1]
    assert chat.decode(completion[completion >= 0]) == "red 1</s>green 1</s>"
    between = "<user>Say the colour green again.</s><assistant>"
    assert chat.decode(~completion[completion < 0]) == between


@pytest.mark.parametrize("template", [FORGETS_ANSWERS, None])
def test_answers_that_a_prompt_has_otherwise_stay_apart(
    chat: Any, tmp_path: Path, template: str | None
) -> None:
    chat.chat_template = template
    examples = encoded(chat, PAIRS, tmp_path / "tokens")
    assert (len(examples), examples.num_joined) == (10, 0)


def test_a_plan_counts_what_is_trained_on(
    chat: Any, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    chat.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((tiny_models["llama"] / "config.json").read_bytes())
    lengths = token_counts(PAIRS, tmp_path).lengths
    for number, limit in enumerate((512, 110, 80)):
        for too_long in ("drop", "truncate"):
            limits = {"max_prompt_tokens": limit, "too_long": too_long}
            real = encoded(chat, PAIRS, tmp_path / f"{too_long} {number}", **limits)
            planned = np.array(_examples(lengths, Train(**limits)))
            assert planned[:, 1].tolist() == real.supervised.tolist()
            if too_long == "drop":  # cut, a prompt has fewer tokens than the limit, not as many
                whole = real.prompts.lengths + real.completions.lengths
                assert planned.sum(1).tolist() == whole.tolist()


def test_limits_are_those_of_a_pair(chat: Any, tmp_path: Path) -> None:
    whole = encoded(chat, PAIRS, tmp_path / "whole")
    longest = int((whole.prompts.lengths + whole.completions.lengths).max())
    limits = {
        "max_prompt_tokens": longest - 20,
        "max_completion_tokens": 16,
        "too_long": "truncate",
    }
    cut = encoded(chat, PAIRS, tmp_path / "cut", **limits)
    assert cut.num_too_long == 1 and cut.num_dropped == 0
    # The longest prompt lost its oldest turns, so it goes on from no other.
    assert (len(cut), cut.num_joined) == (5, 5)
    assert cut.prompts.lengths.max() <= longest - 20
