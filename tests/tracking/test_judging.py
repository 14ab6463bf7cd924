"""How the champion is asked what it has not answered yet."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.scoring.job import Job
from tasks.tracking import judging
from tasks.tracking.registry import Version


@pytest.mark.parametrize(
    ("stage", "tokens", "temperature"), [("test", 4, 0.5), ("forgetting", 96, 0.0)]
)
def test_the_champion_answers_probes_as_the_challenger_did(
    stage: str, tokens: int, temperature: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "artifacts" / "retune" / "generation.json"
    told.parent.mkdir(parents=True)
    told.write_text(json.dumps({"max_new_tokens": 4, "temperature": 0.5, "max_prompt_tokens": 64}))
    asked: list[Job] = []
    monkeypatch.setattr(judging, "download", lambda *_: tmp_path)
    monkeypatch.setattr(judging, "score", lambda job, *_: asked.append(job))
    row: dict[str, Any] = {
        "id": "1",
        "task": "t",
        "template": "p",
        "prompt": "Say",
        "references": ["x"],
    }
    row["scores"] = {"tuned": {"rougeL": 1.0}}
    champion = Version("m", "1", "run", 0.0, "", (), {})
    judging._score(champion, stage, [row], tmp_path / "scored")
    assert (asked[0].generation.max_new_tokens, asked[0].generation.temperature) == (
        tokens,
        temperature,
    )
