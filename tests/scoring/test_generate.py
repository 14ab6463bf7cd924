"""Generation with tiny random models: batching, limits, stop tokens, sampling."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Generation
from tasks.data.tools import Call, with_calls
from tasks.data.turns import Turn, as_text
from tasks.errors import BadData, BadModel
from tasks.scoring.decode import Ends, decode, greedy, sampler
from tasks.scoring.generate import (
    Completion,
    Generator,
    batches,
    complete,
    load_generator,
    prompt_limit,
)
from tasks.scoring.nats import nats_of
from tests.architectures import save_architecture
from tests.toy import examples, save_model

GREEDY = Generation(max_new_tokens=12, batch_tokens=200)
PROMPTS = [row["prompt"] for row in examples("echo", 12)]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Generator]:
    """Kind -> a generator, each made once."""
    made: dict[str, Generator] = {}

    def load(kind: str) -> Generator:
        if kind not in made:
            made[kind] = load_generator(save_model(tmp_path_factory.mktemp(kind), kind))
        return made[kind]

    return load


def run(generator: Generator, prompts: list[str], generation: Generation) -> list[Completion]:
    return complete(generator, prompts, generation, max_prompt_tokens=100)


@pytest.mark.parametrize("kind", ["t5", "switch", "gpt2", "llama", "mamba", "minimax", "rwkv"])
def test_batching_changes_nothing(kind: str, model_of: Callable[[str], Generator]) -> None:
    generator = model_of(kind)
    together = run(generator, PROMPTS, GREEDY)
    alone = [run(generator, [prompt], GREEDY)[0] for prompt in PROMPTS]
    backwards = run(generator, PROMPTS[::-1], GREEDY)[::-1]
    one_batch = run(generator, PROMPTS, Generation(max_new_tokens=12))
    assert together == alone == backwards == one_batch
    assert len({completion.text for completion in together}) > 4
    assert generator.is_encoder_decoder == (kind in ("t5", "switch"))
    # The state of RWKV heeds no mask, and MiniMax heeds another one.
    assert generator.pads == (kind not in ("minimax", "rwkv"))


@pytest.mark.parametrize("kind", ["t5", "llama", "mamba", "minimax"])
def test_rows_that_have_ended_leave_the_others_as_they_are(
    kind: str, model_of: Callable[[str], Generator]
) -> None:
    generator = replace(model_of(kind), stop_ids=tuple(range(1, 340, 9)))
    together = run(generator, PROMPTS, Generation(max_new_tokens=12))
    assert together == [run(generator, [prompt], GREEDY)[0] for prompt in PROMPTS]
    assert len({completion.num_tokens for completion in together}) > 1


def greedy_ids(generator: Generator, prompt: str, num_tokens: int) -> list[int]:
    """The likeliest tokens, found without cache and batch."""
    import torch

    ids = generator.encode(prompt, None)[0]
    for _ in range(num_tokens):
        with torch.inference_mode():
            ids.append(int(generator.model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-num_tokens:]


def test_it_is_the_models_greedy_argmax(model_of: Callable[[str], Generator]) -> None:
    generator = model_of("gpt2")
    written = greedy_ids(generator, PROMPTS[3], 12)
    assert not set(written) & set(generator.stop_ids)
    [completion] = run(generator, [PROMPTS[3]], GREEDY)
    assert completion.text == generator.tokenizer.decode(written, skip_special_tokens=True).strip()
    assert (completion.num_tokens, completion.hit_length_limit) == (12, True)
    assert completion.num_prompt_tokens == len(generator.encode(PROMPTS[3], None)[0])


def test_stops_at_the_stop_token(model_of: Callable[[str], Generator]) -> None:
    generator = model_of("llama")
    written = greedy_ids(generator, PROMPTS[0], 12)
    stop = written[4]
    length = written.index(stop) + 1
    stopping = Generator(generator.model, generator.tokenizer, (stop,))
    [stopped] = run(stopping, PROMPTS[:1], GREEDY)
    assert (stopped.num_tokens, stopped.hit_length_limit) == (length, False)
    text = generator.tokenizer.decode(written[: length - 1], skip_special_tokens=True)
    assert stopped.text == text.strip()


def test_sampling_follows_its_seed(model_of: Callable[[str], Generator]) -> None:
    generator = model_of("t5")
    sampled = [
        run(generator, PROMPTS, Generation(max_new_tokens=8, temperature=2.0, top_p=0.9, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert sampled[0] == sampled[1]
    assert sampled[0] != sampled[2]
    assert sampled[0] != run(generator, PROMPTS, Generation(max_new_tokens=8))


def test_a_sampled_completion_depends_on_seed_and_prompt_alone(
    model_of: Callable[[str], Generator],
) -> None:
    generator = model_of("gpt2")
    sampling = Generation(max_new_tokens=8, temperature=1.5, top_p=0.9, batch_tokens=100)
    twice = run(generator, [*PROMPTS, PROMPTS[0]], sampling)
    assert [run(generator, [prompt], sampling)[0] for prompt in PROMPTS] == twice[:-1]
    assert twice[-1] != twice[0]  # given again, it is another draw


def test_samples_come_as_often_as_they_are_likely() -> None:
    import torch

    shares = torch.tensor([0.5, 0.1, 0.3, 0.1])
    size = 4000
    logits = (shares.log() * 2.0).expand(size, 4)
    rows = torch.arange(size)
    every = sampler(2.0, 1.0, range(size), 3)(logits, rows, 2)
    assert torch.bincount(every, minlength=4) / size == pytest.approx(shares, abs=0.03)
    nucleus = sampler(2.0, 0.6, range(size), 3)(logits, rows, 2)
    expected = torch.tensor([0.5 / 0.8, 0.0, 0.3 / 0.8, 0.0])
    assert torch.bincount(nucleus, minlength=4) / size == pytest.approx(expected, abs=0.03)
    likeliest = sampler(2.0, 1e-300, range(size), 3)(logits, rows, 0)
    assert likeliest.equal(sampler(1e-300, 1.0, range(size), 3)(logits, rows, 0))
    assert set(likeliest.tolist()) == {0}


def test_rows_that_end_early_leave_the_batch(model_of: Callable[[str], Generator]) -> None:
    generator = model_of("t5")
    sizes: list[int] = []

    def watched(logits: Any, rows: Any, step: int) -> Any:
        sizes.append(len(rows))
        return greedy(logits, rows, step)

    ids = [generator.encode(prompt, None)[0] for prompt in PROMPTS]
    alone = [decode(generator.model, [one], ends_of(generator), greedy)[0] for one in ids]
    stop = alone[0][3]
    ends = replace(ends_of(generator), stop_ids=(stop,))
    written = decode(generator.model, ids, ends, watched)
    cut = [row[: row.index(stop) + 1] if stop in row else row for row in alone]
    assert written == cut
    assert sizes[0] == len(PROMPTS) > sizes[-1]


def ends_of(generator: Generator) -> Ends:
    return Ends(generator.stop_ids, generator.start_ids, generator.tokenizer.pad_token_id, 12)


def test_settings_of_the_folder_do_not_count(tmp_path: Path) -> None:
    before = run(load_generator(save_model(tmp_path, "gpt2")), PROMPTS, GREEDY)
    path = tmp_path / "generation_config.json"
    settings = json.loads(path.read_text())
    extra = {"num_beams": 3, "no_repeat_ngram_size": 1, "min_length": 90, "temperature": 0.3}
    path.write_text(json.dumps(settings | extra))
    assert run(load_generator(tmp_path), PROMPTS, GREEDY) == before


def test_a_barred_token_is_never_written(tmp_path: Path) -> None:
    ids: list[list[int]] = []

    def write(prompts: Any, ends: Ends, *_: Any) -> list[list[int]]:
        ids[:] = decode(generator.model, prompts, ends, greedy)
        return ids

    generator = load_generator(save_model(tmp_path, "gpt2"))
    run(replace(generator, write=write), PROMPTS[:1], GREEDY)
    barred, path = ids[0][0], tmp_path / "generation_config.json"
    words = [[barred], [7, 8]]  # a word of several tokens bars none of them
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bad_words_ids": words}))
    run(replace(load_generator(tmp_path), write=write), PROMPTS[:1], GREEDY)
    assert ids[0] and barred not in ids[0]


def test_calls_come_in_one_form_where_there_are_tools(model_of: Callable[[str], Generator]) -> None:
    """Whatever the model's own is; elsewhere JSON is an answer like any other."""
    answer = '{"name": "f", "parameters": {"x": 1}}'
    tools = as_text([Turn("tools", '[{"function": {"name": "f"}}]'), Turn("user", "Hi")])
    generator = model_of("llama")
    tokenizer, stop = generator.tokenizer, generator.stop_ids[0]
    written = [*tokenizer(answer, add_special_tokens=False)["input_ids"], stop]
    speaking = replace(generator, write=lambda prompts, *_: [written] * len(prompts))
    called, plain = complete(speaking, [tools, "Hi"], GREEDY, 512)
    assert called.text == with_calls("", [Call("f", {"x": 1})])
    assert plain.text == tokenizer.decode(written[:-1])


def test_limits(model_of: Callable[[str], Generator]) -> None:
    generator = model_of("gpt2")
    assert prompt_limit(generator, 512, GREEDY) == 128 - 12
    assert prompt_limit(generator, 50, GREEDY) == 50
    assert prompt_limit(model_of("t5"), 512, GREEDY) == 512
    with pytest.raises(BadModel, match="128 positions"):
        prompt_limit(generator, 512, Generation(max_new_tokens=128))
    [cut, whole] = complete(generator, ["Say " * 300, "Say"], GREEDY, max_prompt_tokens=512)
    assert cut.truncated_prompt and not whole.truncated_prompt
    assert cut.num_prompt_tokens <= 116


def test_what_has_to_come_first_takes_a_position(tmp_path: Path, tiny_tokenizer: Any) -> None:
    save_architecture("bart", tmp_path, tiny_tokenizer)
    path = tmp_path / "generation_config.json"
    first = {"forced_bos_token_id": 7, "bad_words_ids": [[1]]}  # it does not end
    path.write_text(json.dumps(json.loads(path.read_text()) | first))
    generator = load_generator(tmp_path)
    [longest] = complete(generator, ["red"], Generation(max_new_tokens=255), 64)
    assert longest.num_tokens == 255
    with pytest.raises(BadModel, match="max_new_tokens = 256(?s:.*)256 positions"):
        complete(generator, ["red"], Generation(max_new_tokens=256), 64)
    text = "red" + " red" * 254
    assert len(tiny_tokenizer(text)["input_ids"]) == 256 + 1  # the last one ends it
    with pytest.raises(BadData, match="completions of at most 256 (?s:.*)one of 257"):
        nats_of(generator, ["red"], [text], Generation(), 64)


def test_batches_keep_to_the_budget() -> None:
    lengths = [5, 90, 40, 7, 300, 8]
    made = list(batches(lengths, max_new_tokens=10, batch_tokens=100))
    assert made == [[4], [1], [2, 5], [3, 0]]
    assert sorted(index for batch in made for index in batch) == list(range(6))
    assert all(
        len(batch) == 1 or len(batch) * (max(lengths[i] for i in batch) + 10) <= 100
        for batch in made
    )


def test_batches_of_one_length() -> None:
    lengths = [5, 9, 5, 7, 9, 5, 5]
    made = list(batches(lengths, max_new_tokens=1, batch_tokens=20, alike=True))
    assert made == [[1, 4], [3], [0, 2, 5], [6]]


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    import torch

    generator = load_generator(save_model(tmp_path, "t5"))
    (tmp_path / "model.safetensors").unlink()
    torch.save(generator.model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(BadModel):
        load_generator(tmp_path)
    again = load_generator(tmp_path, allow_pickle=True)
    assert run(again, PROMPTS, GREEDY) == run(generator, PROMPTS, GREEDY)
