import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    LEDConfig,
    MptConfig,
    T5Config,
    T5GemmaConfig,
)
from transformers.activations import GELUTanh, NewGELUActivation

from benchmarks.memory import write_rows
from tasks.config import ChatTemplate, Train
from tasks.data.base_model import check_model_folder
from tasks.data.light_tokenizer import LightTokenizer
from tasks.data.thoughts import without_thought
from tasks.data.tokenizing import encode_prompts, stop_token_id
from tasks.errors import BadModel
from tasks.training.encoding import encode_examples
from tasks.training.model import (
    check_finite,
    fit,
    load_model,
    load_tokenizer,
    num_positions,
    start_token_id,
    unloaded,
)
from tests.toy import save_model

POCKET = Path(__file__).parents[2] / "models" / "pocket-flan"


def test_the_fused_activation_changes_no_value() -> None:
    plain = AutoModelForSeq2SeqLM.from_pretrained(POCKET, dtype=torch.float32)
    fused = load_model(POCKET)
    assert any(isinstance(module, NewGELUActivation) for module in plain.modules())
    assert any(isinstance(module, GELUTanh) for module in fused.modules())
    assert not any(isinstance(module, NewGELUActivation) for module in fused.modules())
    ids = torch.arange(10, 200).reshape(2, 95)
    with torch.no_grad():
        expected = plain(input_ids=ids, decoder_input_ids=ids).logits
        found = fused(input_ids=ids, decoder_input_ids=ids).logits
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


CHAT = "{% for turn in messages %}{{ turn.role }}: {{ turn.content }}<extra_id_5>{% endfor %}"


def test_a_saved_model_generates_as_it_is_tested(
    tiny_models: dict[str, Path], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = load_model(tiny_models["llama"])
    model.save_pretrained(tmp_path)
    own = {"do_sample": True, "repetition_penalty": 1.3, "max_length": 20, "eos_token_id": [1, 9]}
    (tmp_path / "generation_config.json").write_text(json.dumps(own))
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = CHAT
    model = load_model(tmp_path)
    fit(model, tokenizer, tmp_path)
    model.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    stop = tokenizer.convert_tokens_to_ids("<extra_id_5>")
    assert saved.pop("transformers_version")
    assert saved == {"eos_token_id": sorted([1, 9, stop])}


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ raise_exception('a system turn is needed') }}", "a system turn is needed"),
        ("{% for turn in messages %}{{ turn.role }", "unexpected '}'"),
        ("{% for turn in messages %}{{ turn.content[0].text }}{% endfor %}", "one that makes of"),
        ({"tool_use": CHAT}, "multiple chat templates with no default"),
    ],
)
def test_a_chat_template_that_does_not_write_a_chat_is_refused(
    tiny_models: dict[str, Path], tiny_tokenizer: Any, template: Any, told: str
) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.chat_template = template
    with pytest.raises(BadModel, match=f"(?s){told}.*chat_template: none"):
        fit(load_model(tiny_models["llama"]), tokenizer, Path("folder"))
    fit(load_model(tiny_models["t5"]), tokenizer, Path("folder"))  # which has no chats


DATED = '{%- if true %}Today: {{ strftime_now("%d %B %Y") }}{% endif %}' + CHAT
NAMED = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": DATED}]


@pytest.mark.parametrize("written", [DATED, NAMED], ids=["one", "several by name"])
def test_a_chat_template_writes_the_same_every_day(
    written: Any, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    tiny_tokenizer.save_pretrained(tmp_path / "base")
    settings = tmp_path / "base" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"chat_template": written}))
    load_tokenizer(tmp_path / "base").save_pretrained(tmp_path / "tuned")  # as training does
    light = LightTokenizer(tmp_path / "base", {"eos_token_id": 1})
    plain = AutoTokenizer.from_pretrained(tmp_path / "tuned")
    turns = [{"role": "user", "content": "Hi"}]
    for each in (
        load_tokenizer(tmp_path / "base"),
        load_tokenizer(tmp_path / "tuned"),
        plain,
        light,
    ):
        text = each.apply_chat_template(turns, tokenize=False)
        assert text == "Today: 26 Jul 2024user: Hi<extra_id_5>"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"num_attention_heads": 3},
            "not a multiple of the number of attention heads.*config.json",
        ),
        ({"hidden_size": "32"}, "'hidden_size' expected int, got str.*correct its config.json"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "a.B"}}, "code of its own.*trust_remote"),
    ],
)
def test_a_config_that_makes_no_model_is_told(
    tiny_models: dict[str, Path], tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    content = json.loads((tiny_models["llama"] / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(content))
    for load in (load_model, unloaded):
        with pytest.raises(BadModel, match=f"(?s){told}"):
            load(tmp_path)
    with pytest.raises(BadModel):
        load_tokenizer(tmp_path)


def loaded(tokenizer: Any, template: str, folder: Path, mode: ChatTemplate = "auto") -> list[Any]:
    """A tokenizer with a chat template: as loaded, of what that was saved as, and for plans."""
    chat = copy.deepcopy(tokenizer)
    chat.chat_template = template
    chat.save_pretrained(folder / "base")
    tuned = load_tokenizer(folder / "base", mode)
    tuned.save_pretrained(folder / "tuned")
    light = LightTokenizer(folder / "base", {"eos_token_id": 1}, mode == "thinking")
    return [tuned, load_tokenizer(folder / "tuned"), light]


THINKING = (
    "{% for turn in messages %}{% generation %}<{{ turn.role }}>{{ turn.content }}<extra_id_5>"
    "{% endgeneration %}{% endfor %}{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    "{% endif %}"
)


def test_a_model_that_can_think_is_asked_for_its_answer(
    tiny_tokenizer: Any, tmp_path: Path
) -> None:
    for each in loaded(tiny_tokenizer, THINKING, tmp_path):
        [ids] = encode_prompts(["Hi"], each, False)
        assert tiny_tokenizer.decode(ids) == "<user>Hi<extra_id_5><assistant><think></think>"
    # As another server asks the tuned model, which has learnt to answer after just this.
    plain = AutoTokenizer.from_pretrained(tmp_path / "tuned")
    turns = [{"role": "user", "content": "Hi"}]
    text = plain.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text.endswith("<assistant><think></think>")


TURNS = "{% for turn in messages %}<{{ turn.role }}>{{ turn.content }}<extra_id_5>{% endfor %}"
ALWAYS = TURNS + "{% if add_generation_prompt %}{{ '<assistant><think>\\n' }}{% endif %}\n"
TURNS_THAT_END = TURNS + "{% if add_generation_prompt %}<assistant>{% endif %}"
CHANNELS = (
    "{% for turn in messages %}<{{ turn.role }}>{% if turn.role == 'assistant' %}«final»{% endif %}"
    "{{ turn.content }}<extra_id_5>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "asked"),
    [
        (ALWAYS, "<assistant><think>\n\n</think>\n\n"),
        (CHANNELS, "<assistant>«final»"),
        (TURNS, "<assistant>"),
    ],
    ids=["always thinks", "channels", "no word of generation"],
)
def test_a_prompt_ends_where_the_answer_begins(
    template: str, asked: str, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    for each in loaded(tiny_tokenizer, template, tmp_path):
        [ids] = encode_prompts(["Hi"], each, False)
        assert tiny_tokenizer.decode(ids) == f"<user>Hi<extra_id_5>{asked}"
        assert "think" not in each.apply_chat_template(
            [{"role": "user", "content": "Hi"}], tokenize=False
        )


EARLIER = (  # Qwen3 leaves out the thoughts of earlier answers, and begins the last one with one
    "{% for turn in messages %}<{{ turn.role }}>"
    "{% if turn.role == 'assistant' and loop.last %}<think></think>{% endif %}"
    "{{ turn.content.split('</think>')[-1] }}<extra_id_5>"
    "{% endfor %}{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    "{% endif %}"
)
ASKED = "<user>Hi<extra_id_5><assistant>"


@pytest.mark.parametrize("template", [THINKING, ALWAYS, EARLIER, TURNS_THAT_END])
def test_a_model_that_is_to_think_is_asked_for_its_thought(
    template: str, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": "Hi"}]
    for each in loaded(tiny_tokenizer, template, tmp_path, "thinking"):
        [ids] = encode_prompts(["Hi"], each, False)
        assert tiny_tokenizer.decode(ids) == ASKED
        assert stop_token_id(each, False) == tiny_tokenizer.convert_tokens_to_ids("<extra_id_5>")
    plain = AutoTokenizer.from_pretrained(tmp_path / "tuned")
    text = plain.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == ASKED


def test_thoughts_of_earlier_answers_may_be_left_out(tiny_tokenizer: Any, tmp_path: Path) -> None:
    prompt = "<|user|>\nHi\n<|assistant|>\n<think>\nHm.\n</think>\n\nYo\n<|user|>\nHi"
    [each, *_] = loaded(tiny_tokenizer, EARLIER, tmp_path, "thinking")
    [ids] = encode_prompts([prompt], each, False)
    earlier = "<user>Hi<extra_id_5><assistant>\n\nYo<extra_id_5>"
    assert tiny_tokenizer.decode(ids) == earlier + ASKED


@pytest.mark.parametrize("mode", ["auto", "thinking"])
@pytest.mark.parametrize("template", [THINKING, ALWAYS, TURNS_THAT_END])
def test_thoughts_that_a_model_is_asked_to_leave_out_are_told(
    template: str, mode: ChatTemplate, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    [each, *_] = loaded(tiny_tokenizer, template, tmp_path, mode)
    rows = [("What?", "<think>\nHm.\n</think>\n\nThat."), ("Who?", "Me.")]
    pairs = write_rows(tmp_path / "pairs.parquet", rows)
    remark = encode_examples(pairs, each, False, Train(), tmp_path / "tokens").remark
    told = "1 of 2 completions begin with a thought (<think>), and the model is asked to leave"
    assert remark.startswith(told) == (mode == "auto" and template != TURNS_THAT_END)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>\nHm.\n</think>\n\nThat.", "That."),
        ("Hm.\n</think>\n\nThat.", "That."),
        ("<think>\nHm. And on and", ""),
        (" That. ", " That. "),
    ],
)
def test_what_an_answer_says_after_its_thought(text: str, answer: str) -> None:
    assert without_thought(text) == answer


def test_a_tokenizer_of_bytes_needs_no_vocabulary(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from transformers import ByT5Tokenizer

    load_model(tiny_models["t5"]).save_pretrained(tmp_path)
    ByT5Tokenizer().save_pretrained(tmp_path)
    check_model_folder(tmp_path, from_scratch=False, allow_pickle=False)
    assert load_tokenizer(tmp_path)("red")["input_ids"] == [117, 104, 103, 1]


@pytest.mark.parametrize(
    ("own", "configured", "begins", "start"),
    [(3, 4, 5, 3), (None, 4, 5, 4), (None, None, 5, 5), (None, None, None, None)],
)
def test_the_token_that_a_completion_starts_from(
    own: int | None, configured: int | None, begins: int | None, start: int | None
) -> None:
    given = SimpleNamespace(decoder_start_token_id=own, bos_token_id=begins)
    config = SimpleNamespace(is_encoder_decoder=True, decoder_start_token_id=configured)
    assert start_token_id(SimpleNamespace(generation_config=given, config=config)) == start


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        (T5Config(), (None, None)),
        (LEDConfig(), (16384, 1024)),
        (MptConfig(max_seq_len=99), (99, 99)),
        (T5GemmaConfig(), (8192, 8192)),
    ],
)
def test_the_positions_of_a_model(config: Any, positions: tuple[int | None, int | None]) -> None:
    assert num_positions(SimpleNamespace(config=config)) == positions


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    """Also where no example reads them, as a word's that is not in the data."""
    model = load_model(save_model(tmp_path, "llama"))
    check_finite(model, tmp_path)
    model.get_input_embeddings().weight.data[3, 4] = value  # type: ignore[operator]
    with pytest.raises(BadModel, match="embed_tokens.weight"):
        check_finite(model, tmp_path)
