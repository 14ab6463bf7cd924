"""How the champion is asked what it has not answered yet."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import BadModel
from tasks.scoring.job import Job
from tasks.tracking import judging
from tasks.tracking.case import Case
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


@pytest.mark.parametrize(
    ("champion", "challenger", "today", "asked"),
    [("3", "3", "4", "kept"), ("3", "4", "4", "scored"), ("4", "3", "4", "refused")],
)
def test_answers_that_another_version_of_the_stage_scored_are_not_compared(
    champion: str, challenger: str, today: str, asked: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    row = {"id": "1", "task": "t", "prompt": "Say", "references": ["x"]}
    files = {}
    for name, value in (("kept", 0.2), ("scored", 0.4)):
        files[name] = tmp_path / f"{name}.jsonl"
        files[name].write_text(json.dumps(row | {"scores": {"tuned": {"rougeL": value}}}) + "\n")
    logged: dict[str, Path] = {}
    own = "test/none/predictions.jsonl"
    monkeypatch.setattr(
        judging, "fetch_file", lambda _run, name, _to: {own: files["kept"], **logged}.get(name)
    )
    monkeypatch.setattr(
        judging,
        "log_file",
        lambda _run, file, folder: logged.update({f"{folder}/predictions.jsonl": file}),
    )
    monkeypatch.setattr(judging, "_score", lambda *_: files["scored"])
    case = Case("m", "k", None, {}, {}, False, {}, {"test": challenger})  # type: ignore[arg-type]
    tags = {"retune.stage_versions": json.dumps({"test": champion})}
    version = Version("m", "1", "run", 0.0, "", (), tags)
    rows = [row | {"scores": {"tuned": {"rougeL": 0.3}}}]

    def answers() -> Any:
        return judging._answers(case, version, "test", rows, tmp_path, {"test": today})

    if asked == "refused":
        with pytest.raises(BadModel, match="another version of Retune; its recipe, run again"):
            answers()
        return
    assert answers() == list(judging.read_rows(files[asked]))
    monkeypatch.setattr(judging, "_score", None)  # once is enough
    assert answers() == list(judging.read_rows(files[asked]))
