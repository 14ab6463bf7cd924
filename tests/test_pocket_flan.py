"""The embedded base model: what it is, and what it knows on 50 held-out rows of each task."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Generation
from tasks.prompts.library import load_prompts
from tasks.prompts.render import choose_template, render

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "pocket-flan"
NUM_ROWS = 50

LEAST_SHARE_RIGHT = {
    ("review_sentiment", "review_sentiment"): 0.84,
    ("review_rating", "review_rating"): 0.92,
    ("named_entities", "named_entities"): 0.92,
    ("passage_qa", "passage_qa"): 0.46,
    ("dates", "dates"): 0.22,
    ("notes", "note_reminder"): 0.32,
}
"""(Probe file, prompt file) -> share of completions that equal the reference: two rows fewer than
the 44, 48, 48, 25, 13 and 18 of 50 that were measured, for other processors round otherwise."""


@pytest.fixture(scope="module")
def generator() -> Any:
    from tasks.scoring.generate import load_generator

    return load_generator(MODEL)


def test_it_is_small_and_whole(generator: Any) -> None:
    assert 4e6 <= sum(weight.numel() for weight in generator.model.parameters()) <= 8e6
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 16 * 2**20
    names = {file.name for file in MODEL.iterdir()}
    assert {"config.json", "tokenizer.json", "model.safetensors", "README.md"} <= names


@pytest.mark.parametrize(("probe", "prompt_file"), LEAST_SHARE_RIGHT)
def test_what_it_knows(generator: Any, probe: str, prompt_file: str) -> None:
    from tasks.scoring.generate import complete

    prompts = load_prompts(prompt_file)
    lines = (ROOT / "data" / "probes" / f"{probe}.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines[:NUM_ROWS]]
    rendered = [
        render(prompts, record, choose_template(record["id"], prompts.training, 7))
        for record in records
    ]
    completions = complete(
        generator, [pair.prompt for pair in rendered], Generation(max_new_tokens=48), 512
    )
    right = sum(
        answer.text == pair.completion for answer, pair in zip(completions, rendered, strict=True)
    )
    assert right / NUM_ROWS >= LEAST_SHARE_RIGHT[probe, prompt_file]


def test_any_text_can_be_written_and_read_back(generator: Any) -> None:
    text = "Zoë paid €12.50 at 7:05 pm - naïve? 日本語 😀\n\tend"
    ids = generator.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert generator.tokenizer.decode(ids) == text
