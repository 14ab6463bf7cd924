"""What a plan takes for the sources of a recipe: what a run reads, and nothing beside it."""

import json
from pathlib import Path

import pytest

import tasks.plan
from tasks.config import Recipe
from tasks.plan import plan
from tests.data.archives import write_archive
from tests.toy import ECHO

ROWS = "text,said\n" + "".join(f"red {number},blue {number}\n" for number in range(60))


@pytest.mark.usefixtures("state_home")
def test_only_what_a_run_reads_counts(
    tmp_path: Path, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tasks.plan, "forecast", lambda *_: "not asked here")
    monkeypatch.setattr(tasks.plan, "LARGEST_SOURCES_BYTES", 100_000)
    (tmp_path / "echo.yaml").write_text(ECHO)
    (tmp_path / "data" / ".cache").mkdir(parents=True)
    (tmp_path / "data" / ".cache" / "x.bin").write_bytes(bytes(1_000_000))
    (tmp_path / "data" / "a.csv").write_text(ROWS)
    write_archive(tmp_path / "a.zip", {"data/a.csv": ROWS.encode(), "data/README": b"?"})
    sources = {"folder": {"path": "data"}, "member": {"dvc": {"path": "a.zip!*.csv"}}}
    content = {
        "name": "toy",
        "base_model": {"path": str(tiny_models["t5"])},
        "tasks": [
            {"name": name, "source": source, "prompts": "echo.yaml"}
            for name, source in sources.items()
        ],
        "split": {"validation": 0.2, "test": 0.2, "near_duplicates": None},
        "forgetting": {"probes": None},
        "registry": {"model": "toy"},
    }
    recipe = Recipe.model_validate_json(json.dumps(content))
    assert plan(recipe).rows == {"folder": 60, "member": 60}
