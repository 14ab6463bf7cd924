"""Of answers that begin with a thought, what comes after it is compared."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Generation
from tasks.scoring import answering, main
from tasks.scoring.generate import Completion
from tasks.scoring.job import Job, Way
from tests.toy import examples, save_model, write_examples

THOUGHT = "<think>\nred or blue?\n</think>\n\n"


def test_thoughts_are_left_out_of_answers_and_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = examples("echo", 6)
    for row in rows:
        row["references"] = [THOUGHT + text for text in row["references"]]

    def think(
        generator: Any, prompts: Sequence[str], *others: Any
    ) -> Iterator[dict[int, Completion]]:
        said = [f"<think>\n{row['id']}\n</think>\n\n{row['completion']}" for row in rows]
        said[-1] = "<think>\nred or blue or"
        yield {place: Completion(text, 3, 9, False, False) for place, text in enumerate(said)}

    monkeypatch.setattr(answering, "generate", think)
    job = Job(
        examples=write_examples(tmp_path / "examples.parquet", rows),
        metrics={"echo": ("exact_match",)},
        ways={"tuned": Way(model=save_model(tmp_path / "model", "t5"))},
        generation=Generation(),
        max_prompt_tokens=100,
        resamples=100,
        seed=7,
        output=tmp_path,
        events=tmp_path / "events.jsonl",
    )
    main._score(job)
    lines = (tmp_path / "predictions.jsonl").read_text("utf-8").splitlines()
    made = [json.loads(line) for line in lines]
    expected = [row["completion"] for row in rows]
    assert [row["references"] for row in made] == [[text] for text in expected]
    assert [row["completions"]["tuned"] for row in made] == [*expected[:-1], ""]
    assert [row["scores"]["tuned"]["exact_match"] for row in made] == [1.0] * 5 + [0.0]
