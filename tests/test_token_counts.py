"""The tokens of examples, counted without torch as the encoder counts them."""

import json
from pathlib import Path

from tasks.data.light_tokenizer import PairLength, token_counts


def test_without_a_tokenizer_file_characters_count(tmp_path: Path) -> None:
    counts = token_counts([{"prompt": "123456789", "completion": "1234"}], tmp_path)
    assert counts == ([PairLength(3, 1)], "at 4 characters a token", None)


def test_a_tokenizer_without_an_end_counts_one(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    source = (tiny_models["llama"] / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(source)
    (tmp_path / "config.json").write_text("{}")
    sample = [{"prompt": "red", "completion": "red"}]
    known, *_ = token_counts(sample, tiny_models["llama"])
    counts, *_ = token_counts(sample, tmp_path)
    assert counts[0][1] == known[0][1]


def test_chat_templates_count(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from tasks.data.tokenizing import encode_completions, encode_prompts

    tokenizer = AutoTokenizer.from_pretrained(tiny_models["llama"])
    chat = (
        "{% if tools is not none or documents is not none %}Tools:{% endif %}"
        "{% for turn in messages %}\n<{{ turn.role }}>{{ turn.content }}{{ eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    tokenizer.chat_template = chat
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((tiny_models["llama"] / "config.json").read_bytes())
    texts = ["Say the colour red again", "Say"]
    sample = [{"prompt": text, "completion": "red"} for text in texts]
    counts, how, all_stop = token_counts(sample, tmp_path)
    prompts = encode_prompts(texts, tokenizer, is_encoder_decoder=False)
    completions = encode_completions(["red", "red"], tokenizer, is_encoder_decoder=False)
    assert counts == list(map(PairLength, map(len, prompts), map(len, completions)))
    assert counts[0][0] > len(tokenizer(texts[0])["input_ids"]) + 5
    assert how == "by the base model's tokenizer"
    assert all_stop is True

    (tmp_path / "chat_template.jinja").unlink()
    settings = tmp_path / "tokenizer_config.json"
    written = json.loads(settings.read_text())
    named = [{"name": "rag", "template": "x"}, {"name": "default", "template": chat}]
    settings.write_text(json.dumps(written | {"chat_template": named}))
    assert token_counts(sample, tmp_path) == (counts, how, all_stop)
    settings.write_text(json.dumps(written | {"chat_template": named[:1]}))
    assert token_counts(sample, tmp_path).how == "at 4 characters a token"

    (tmp_path / "chat_template.jinja").write_text("{% tag_of_theirs %}")
    assert token_counts(sample, tmp_path).how == "at 4 characters a token"
