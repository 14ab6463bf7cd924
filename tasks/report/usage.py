"""How to load a registered model with plain `transformers`: the code that its model card shows.

Every shape asks the model just as it was asked in training, so the answers are the tested ones.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tasks.stage import read_json

Shape = Literal["encoder-decoder", "decoder-only", "chat"]
"""How a prompt is put to the model; `chat` is decoder-only with a chat template."""

CLASSES = {
    "encoder-decoder": "AutoModelForSeq2SeqLM",
    "decoder-only": "AutoModelForCausalLM",
    "chat": "AutoModelForCausalLM",
}

ASKS = {
    "encoder-decoder": """\
inputs = tokenizer(prompt, return_tensors="pt")
start = 0""",
    "decoder-only": """\
inputs = tokenizer(prompt + "\\n", return_tensors="pt")  # a line break ends the prompt
if inputs.input_ids[0, -1] == tokenizer.eos_token_id:
    inputs = {name: ids[:, :-1] for name, ids in inputs.items()}
start = inputs["input_ids"].shape[1]""",
    "chat": """\
turns = [{"role": "user", "content": prompt}]
inputs = tokenizer.apply_chat_template(
    turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
start = inputs["input_ids"].shape[1]""",
}


def shape_of(model: Path) -> Shape:
    """How a prompt is put to a model, by its Hugging Face folder."""
    if read_json(model / "config.json").get("is_encoder_decoder"):
        return "encoder-decoder"
    return "chat" if (model / "chat_template.jinja").exists() else "decoder-only"


def usage(shape: Shape, generation: Mapping[str, int | float]) -> str:
    """Python that asks the model in the current folder one prompt and prints its answer.

    Args:
        shape: How a prompt is put to the model.
        generation: `max_new_tokens`, `temperature` and `top_p` that the model was tested with.
    """
    settings = [f"max_new_tokens={generation['max_new_tokens']}"]
    if generation["temperature"]:
        sampled = [f"{name}={generation[name]}" for name in ("temperature", "top_p")]
        settings += ["do_sample=True", *sampled]
    else:
        settings.append("do_sample=False")
    trusts = ", trust_remote_code=True" if "trust_remote_code" in generation else ""
    return f"""\
from transformers import {CLASSES[shape]}, AutoTokenizer

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder{trusts})
model = {CLASSES[shape]}.from_pretrained(folder{trusts})

prompt = "..."  # phrased as below
{ASKS[shape]}
answer = model.generate(**inputs, {", ".join(settings)})
print(tokenizer.decode(answer[0, start:], skip_special_tokens=True).strip())"""
