"""Encoding, batching and collating: what the model is fed."""

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tasks.config import Train
from tasks.data.tokenizing import encode_completions, encode_prompt, encode_prompts, stop_token_id
from tasks.data.turns import Turn, as_text
from tasks.errors import BadData, BadRecipe
from tasks.training import encoding
from tasks.training.batching import IGNORED, batch_rows, collate, epoch_rows
from tasks.training.encoding import SUMMARY, encode_examples
from tasks.training.examples import Examples, Ragged, check_lengths, check_supervision
from tests import toy
from tests.conftest import WritePairs

BYTES = {letter: number for number, letter in enumerate(pre_tokenizers.ByteLevel.alphabet())}


def examples_of(prompts: list[list[int]], completions: list[list[int]]) -> Examples:
    def packed(rows: list[list[int]]) -> Ragged:
        flat = np.array([token for row in rows for token in row], np.int32)
        return Ragged.of_lengths(flat, np.array([len(row) for row in rows], np.int64))

    names = np.array(["a"] * len(prompts), dtype=str)
    return Examples(names, names, packed(prompts), packed(completions), 0, 0)


@pytest.fixture
def examples(tmp_path: Path, write_pairs: WritePairs, tiny_tokenizer: Any) -> Examples:
    path = write_pairs(tmp_path / "train.parquet", 300)
    return encode_examples(path, tiny_tokenizer, True, Train(), path.parent / "tokens")


def test_ragged_rows_come_back() -> None:
    ragged = Ragged.of_lengths(np.array([1, 2, 3, 4], np.int32), np.array([3, 0, 1]))
    assert [ragged[row].tolist() for row in range(3)] == [[1, 2, 3], [], [4]]
    assert ragged.lengths.tolist() == [3, 0, 1]


def test_prompts_and_completions_end_in_the_stop_token(tiny_tokenizer: Any) -> None:
    end = tiny_tokenizer.eos_token_id
    prompt, was_cut = encode_prompt("Say the colour red", tiny_tokenizer, True, None)
    assert prompt[-1] == end and not was_cut
    [completion] = encode_completions(["red"], tiny_tokenizer, False)
    assert completion[-1] == end
    assert tiny_tokenizer.decode(completion[:-1]) == "red"


def test_a_decoder_sees_a_line_break_between_prompt_and_completion(tiny_tokenizer: Any) -> None:
    [prompt] = encode_prompts(["Say red"], tiny_tokenizer, False)
    assert tiny_tokenizer.decode(prompt) == "Say red\n"


def test_a_long_prompt_is_cut_to_the_limit_and_said(tiny_tokenizer: Any) -> None:
    ids, was_cut = encode_prompt("red green blue " * 50, tiny_tokenizer, True, 20)
    assert len(ids) <= 20 and was_cut
    assert ids[-1] == tiny_tokenizer.eos_token_id


def chat_of(tokenizer: Any, end: str) -> Any:
    """A tokenizer whose chat template ends turns in `end`; it has the token <|end|>."""
    chat = copy.deepcopy(tokenizer)
    chat.add_special_tokens({"additional_special_tokens": ["<|end|>"]})
    chat.chat_template = (
        f"{{% for m in messages %}}{{{{ m.role }}}}: {{{{ m.content }}}}{end}\n{{% endfor %}}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    return chat


@pytest.mark.parametrize(("end", "stop"), [("<|end|>", "<|end|>"), ("\n### End", "</s>")])
def test_a_chat_template_brings_its_own_stop_token(
    tiny_tokenizer: Any, end: str, stop: str
) -> None:
    chat = chat_of(tiny_tokenizer, end)
    assert stop_token_id(chat, False) == chat.convert_tokens_to_ids(stop)
    [ids] = encode_completions(["red"], chat, False)
    assert chat.decode(ids) == f"red{stop}"
    [prompt] = encode_prompts(["Say red"], chat, False)
    assert chat.decode(prompt) == f"user: Say red{end}\nassistant: "


@pytest.mark.parametrize("text", ["我昨天在网上买了这个手机" * 5, "😀😁😂" * 5, "naïve café " * 9])
def test_a_prompt_cut_within_a_character_still_asks_for_an_answer(text: str) -> None:
    bytes_alone = Tokenizer(models.BPE(vocab=BYTES, merges=[]))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_alone, eos_token="</s>")
    chat = chat_of(tokenizer, "<|end|>")
    for limit in range(30, 50):
        ids, was_cut = encode_prompt(text, chat, False, limit)
        assert was_cut and limit - 4 < len(ids) <= limit
        told = chat.decode(ids)
        assert told.startswith(f"user: {text[:1]}") and "\ufffd" not in told
        assert told.endswith("<|end|>\nassistant: ")


CONVERSATION = as_text(
    [Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Yo"), Turn("user", "Red?")]
)
NO_SYSTEM = "{{ raise_exception('no system') if messages[0].role == 'system' }}"
DROPS_SYSTEM = "{% set messages = messages | selectattr('role', 'ne', 'system') | list %}"
ONE_TURN = "{{ raise_exception('one turn') if messages | length > 1 }}"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("", "system: Be brief.;user: Hi;assistant: Yo;user: Red?;assistant: "),
        (NO_SYSTEM, "user: Be brief.\n\nHi;assistant: Yo;user: Red?;assistant: "),
        (DROPS_SYSTEM, "user: Be brief.\n\nHi;assistant: Yo;user: Red?;assistant: "),
        (ONE_TURN, "user: Be brief.\nUser: Hi\nAssistant: Yo\nUser: Red?;assistant: "),
    ],
)
def test_a_conversation_is_written_in_the_models_own_turns(
    tiny_tokenizer: Any, template: str, told: str
) -> None:
    chat = chat_of(tiny_tokenizer, ";")
    chat.chat_template = template + chat.chat_template.replace("\n", "")
    [ids] = encode_prompts([CONVERSATION], chat, False)
    assert chat.decode(ids) == told


def test_a_model_without_turns_reads_lines(tiny_tokenizer: Any) -> None:
    lines = "Be brief.\nUser: Hi\nAssistant: Yo\nUser: Red?"
    for is_encoder_decoder in (True, False):
        assert encode_prompts([CONVERSATION], tiny_tokenizer, is_encoder_decoder) == encode_prompts(
            [lines], tiny_tokenizer, is_encoder_decoder
        )


def test_a_conversation_over_the_limit_loses_its_oldest_turns(tiny_tokenizer: Any) -> None:
    chat = chat_of(tiny_tokenizer, ";")
    [whole] = encode_prompts([CONVERSATION], chat, False)
    ids, was_cut = encode_prompt(CONVERSATION, chat, False, len(whole) - 1)
    assert was_cut
    assert chat.decode(ids) == "system: Be brief.;\nuser: Red?;\nassistant: "
    ids, was_cut = encode_prompt(CONVERSATION, chat, False, len(ids) - 1)
    assert was_cut
    assert chat.decode(ids) == "system: Be brief.;\nuser: Red;\nassistant: "


def test_examples_over_a_limit_are_counted_and_dropped_or_cut(
    tmp_path: Path, write_pairs: WritePairs, tiny_tokenizer: Any
) -> None:
    path = write_pairs(tmp_path / "train.parquet", 70)
    tokens = tmp_path / "tokens"
    whole = encode_examples(path, tiny_tokenizer, True, Train(), tokens)
    limit = int(np.median(whole.prompts.lengths))
    dropped = encode_examples(path, tiny_tokenizer, True, Train(max_prompt_tokens=limit), tokens)
    assert dropped.num_dropped == dropped.num_too_long > 0
    assert len(dropped) == 70 - dropped.num_dropped
    cut = encode_examples(
        path, tiny_tokenizer, True, Train(max_prompt_tokens=limit, too_long="truncate"), tokens
    )
    assert len(cut) == 70 and cut.num_too_long == dropped.num_too_long
    assert cut.prompts.lengths.max() == limit
    assert all(cut.prompts[row][-1] == tiny_tokenizer.eos_token_id for row in range(70))


def test_a_tokenizer_without_a_file_of_its_own_encodes(
    tmp_path: Path, write_pairs: WritePairs
) -> None:
    from transformers import ByT5Tokenizer

    path = write_pairs(tmp_path / "train.parquet", 1)
    examples = encode_examples(path, ByT5Tokenizer(), True, Train(), tmp_path / "tokens")
    assert examples.completions[0].tolist() == [*(3 + byte for byte in b"red"), 1]


def test_a_cut_prompt_still_asks_for_an_answer(
    tmp_path: Path, write_pairs: WritePairs, tiny_tokenizer: Any
) -> None:
    chat = chat_of(tiny_tokenizer, "<|end|>")
    limits = Train(max_prompt_tokens=25, too_long="truncate")
    path = write_pairs(tmp_path / "train.parquet", 9)
    examples = encode_examples(path, chat, False, limits, tmp_path / "tokens")
    assert examples.num_too_long > 0
    for row, text in enumerate(pq.read_table(path)["prompt"].to_pylist()):
        assert examples.prompts[row].tolist() == encode_prompt(text, chat, False, 25)[0]
        assert chat.decode(examples.prompts[row]).endswith("<|end|>\nassistant: ")


@pytest.mark.parametrize(
    ("reads", "writes", "is_encoder_decoder", "told"),
    [
        (6, 6, False, "max_prompt_tokens\n.*at most 6 .*\n.* 1 .*up to 7\n.*set it to 4"),
        (2, 2, False, "max_prompt_tokens\n.*at most 2 .*\n.* 2 .*up to 7\n.*take a model"),
        (4, 9, True, "max_prompt_tokens\n.*at most 4 .*\n.* 1 .*up to 5\n.*set it to 4"),
        (9, 1, True, "max_completion_tokens\n.*at most 1 .*\n.* 2 .*up to 2\n.*set it to 1"),
    ],
)
def test_examples_beyond_the_positions_of_a_model_are_refused(
    reads: int, writes: int, is_encoder_decoder: bool, told: str
) -> None:
    examples = examples_of([[5] * 5, [5] * 3], [[7, 1], [8, 1]])
    check_lengths(examples, None, None, is_encoder_decoder, 256)
    check_lengths(examples, 7, 7, is_encoder_decoder, 256)
    with pytest.raises(BadRecipe, match=told):
        check_lengths(examples, reads, writes, is_encoder_decoder, 256)


@pytest.mark.parametrize("completion", [[], [1]], ids=["nothing left", "no supervised token"])
def test_nothing_to_learn_is_refused(tiny_tokenizer: Any, completion: list[int]) -> None:
    rows = [completion] if completion else []
    examples = examples_of([[5]] * len(rows), rows)
    with pytest.raises(BadData, match="train"):
        check_supervision(examples, tiny_tokenizer, True, "train")


def test_a_task_whose_examples_are_all_too_long_is_refused(
    tmp_path: Path, tiny_tokenizer: Any
) -> None:
    rows = [*toy.examples("short", 3), {**toy.examples("long", 1)[0], "prompt": "red " * 99}]
    path = toy.write_examples(tmp_path / "train.parquet", rows)
    limits = Train(max_prompt_tokens=60)
    examples = encode_examples(path, tiny_tokenizer, True, limits, tmp_path / "tokens")
    with pytest.raises(BadData, match="none left of long"):
        check_supervision(examples, tiny_tokenizer, True, "train")
    check_supervision(examples, tiny_tokenizer, True, "validation")


def test_a_stop_token_that_is_never_learnt_is_refused(tiny_tokenizer: Any) -> None:
    examples = examples_of([[5]], [[7, 8]])
    with pytest.raises(BadData, match="stop token"):
        check_supervision(examples, tiny_tokenizer, True, "train")


def test_an_epoch_draws_each_row_equally_often(examples: Examples) -> None:
    draws = {"colours": 50, "names": 150}
    drawn = np.concatenate([epoch_rows(examples, draws, 7, epoch) for epoch in range(4)])
    times = np.bincount(drawn, minlength=len(examples))
    tasks = examples.tasks
    assert set(times[tasks == "colours"]) == {1}  # 200 rows, 4 x 50 draws
    assert set(times[tasks == "names"]) == {6}  # 100 rows, 4 x 150 draws
    first = epoch_rows(examples, draws, 7, 0)
    assert np.array_equal(first, epoch_rows(examples, draws, 7, 0))
    assert not np.array_equal(first, epoch_rows(examples, draws, 8, 0))


def test_batches_hold_every_row_once_within_the_budget(examples: Examples) -> None:
    rows = np.arange(len(examples))
    batches = batch_rows(rows, examples, 256, seed=1)
    assert sorted(np.concatenate(batches).tolist()) == rows.tolist()
    for batch in batches:
        longest = examples.prompts.lengths[batch].max() + examples.completions.lengths[batch].max()
        assert len(batch) * longest <= 256 or len(batch) == 1


def test_batches_of_like_length_pad_less_than_random_ones(examples: Examples) -> None:
    grouped = batch_rows(np.arange(len(examples)), examples, 512, seed=1)
    random = np.array_split(np.random.default_rng(1).permutation(len(examples)), len(grouped))

    def padding(batches: list[Any]) -> float:
        made = [collate(batch, examples, True, 0, 0) for batch in batches]
        return 1 - sum(b.num_tokens for b in made) / sum(b.num_padded for b in made)

    assert padding(grouped) < 0.6 * padding(random)


def test_an_encoder_decoder_batch() -> None:
    examples = examples_of([[5, 6, 1], [7, 1]], [[8, 1], [9, 9, 1]])
    batch = collate([0, 1], examples, True, 0, 0)
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 1], [7, 1, 0]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.inputs["decoder_input_ids"].tolist() == [[0, 8, 0], [0, 9, 9]]
    assert batch.labels.tolist() == [[8, 1, IGNORED], [9, 9, 1]]
    assert (batch.num_supervised, batch.num_tokens, batch.num_padded) == (5, 10, 12)


def test_a_decoder_batch_has_loss_on_the_completion_only() -> None:
    examples = examples_of([[5, 6, 7]], [[8, 1]])
    batch = collate([0], examples, False, 0, None)
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 7, 8, 1]]
    # The logits at a position predict the next token, so the last prompt token predicts 8.
    assert batch.labels.tolist() == [[IGNORED, IGNORED, 8, 1, IGNORED]]
    assert batch.num_supervised == int((batch.labels != IGNORED).sum())
    assert batch.labels.dtype == torch.long


def test_pairs_are_tokenized_once(
    tmp_path: Path, write_pairs: WritePairs, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tokens = write_pairs(tmp_path / "train.parquet", 70), tmp_path / "tokens"
    first = encode_examples(path, tiny_tokenizer, True, Train(), tokens)
    assert first.ids[:2].tolist() == [f"{number:016x}" for number in range(2)]
    assert first.tasks[:2].tolist() == ["names", "colours"]
    text = tiny_tokenizer.decode(first.completions[3], skip_special_tokens=True)
    assert text == pq.read_table(path)["completion"][3].as_py()

    limit = int(np.median(first.prompts.lengths))
    assert len(encode_examples(path, tiny_tokenizer, True, Train(epochs=9), tokens)) == 70
    assert len(list(tokens.iterdir())) == 1
    assert (
        len(encode_examples(path, tiny_tokenizer, True, Train(max_prompt_tokens=limit), tokens))
        < 70
    )
    monkeypatch.setattr(encoding, "encode_prompts", None)  # what is done is not done again
    again = encode_examples(path, tiny_tokenizer, True, Train(), tokens)
    assert np.array_equal(again.prompts.flat, first.prompts.flat)
    with pytest.raises(TypeError):
        encode_examples(write_pairs(path, 71), tiny_tokenizer, True, Train(), tokens)


@pytest.mark.parametrize("file", ["prompts.bin", "completion_lengths.bin", "ids.bin", SUMMARY])
def test_damaged_tokens_are_made_again(
    tmp_path: Path, write_pairs: WritePairs, tiny_tokenizer: Any, file: str
) -> None:
    path, tokens = write_pairs(tmp_path / "train.parquet", 20), tmp_path / "tokens"
    first = encode_examples(path, tiny_tokenizer, True, Train(), tokens)
    whole = first.prompts.flat.tolist(), first.completions.lengths.tolist(), first.ids.tolist()
    [damaged] = tokens.glob(f"*/{file}")
    if file == SUMMARY:
        damaged.unlink()
    else:
        damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    again = encode_examples(path, tiny_tokenizer, True, Train(), tokens)
    found = again.prompts.flat.tolist(), again.completions.lengths.tolist(), again.ids.tolist()
    assert found == whole


def test_another_stop_token_is_another_set(
    tmp_path: Path, write_pairs: WritePairs, tiny_tokenizer: Any
) -> None:
    path, tokenizer = write_pairs(tmp_path / "train.parquet", 20), copy.deepcopy(tiny_tokenizer)
    for stop in ("<extra_id_5>", tokenizer.eos_token):  # the first one is mended
        tokenizer.eos_token = stop
        examples = encode_examples(path, tokenizer, False, Train(), tmp_path / "tokens")
        assert examples.completions[3][-1] == tokenizer.convert_tokens_to_ids(stop)


@pytest.mark.parametrize("ahead_s", [0, 1_000_000])
def test_the_tokens_of_old_data_go_whatever_the_clock_says(
    tmp_path: Path, write_pairs: WritePairs, tiny_tokenizer: Any, ahead_s: int
) -> None:
    tokens, used = tmp_path / "tokens", []
    for rows in range(10, 20):
        path = write_pairs(tmp_path / "train.parquet", rows)
        before = set(tokens.iterdir()) if tokens.exists() else set()
        encode_examples(path, tiny_tokenizer, True, Train(), tokens)
        used += set(tokens.iterdir()) - before
        if rows == 15:
            for place in tokens.iterdir():  # from here on, the clock is behind
                then = place.stat().st_mtime + ahead_s
                os.utime(place, (then, then))
    assert set(tokens.iterdir()) == set(used[-encoding.KEPT :])
