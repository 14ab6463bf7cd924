"""Whatever a recipe names may lie in the home folder, and depends on nobody's."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.config import BaseModelSection, Source
from tasks.config.task import DvcFile
from tasks.data.base_model import folder_of, start_of
from tasks.data.sources import digest_of, is_saved, parts_of
from tasks.data.sources_dvc import fetch
from tasks.prompts.library import load_prompts
from tasks.prompts.promptsource import load_promptsource
from tasks.scoring.probes import suite_path
from tests.bad_input_cases import PUBLISHED
from tests.data.archives import write_archive
from tests.toy import ECHO

CSV = "text,said\nred,blue\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "anna"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "anna" / "data").mkdir(parents=True)
    return tmp_path / "anna"


def rows(source: Source, scratch: Path) -> list[Any]:
    return [row for part in parts_of(source, scratch) for _, row in part.rows()]


def test_sources(home: Path, tmp_path: Path) -> None:
    import datasets

    (home / "data" / "a.csv").write_text(CSV)
    write_archive(home / "a.zip", {"a.csv": CSV.encode()})
    content = {"text": ["red"], "said": ["blue"]}
    datasets.Dataset.from_dict(content).save_to_disk(str(home / "saved"))
    (tmp_path / "~backup.csv").write_text(CSV)
    for path in ("data", "data/*.csv", "a.zip!*.csv", "saved"):
        source, elsewhere = Source(path=f"~/{path}"), Source(path=f"{home}/{path}")
        assert rows(source, tmp_path / "scratch") == [{"text": "red", "said": "blue"}]
        assert digest_of(source) == digest_of(elsewhere)
        assert source.path == f"~/{path}"
    assert is_saved("~/saved", Source(path="~/saved"))
    assert rows(Source(path="~/saved", format="saved"), tmp_path)
    assert rows(Source(path="~backup.csv"), tmp_path)
    assert fetch(DvcFile(repo="~/data", path="a.csv"), tmp_path) == str(home / "data" / "a.csv")


def test_other_files(home: Path, tiny_models: dict[str, Path]) -> None:
    shutil.copytree(tiny_models["t5"], home / "m")
    for name, text in (
        ("echo", ECHO),
        ("p", PUBLISHED.replace("!Metadata {}", "!TemplateMetadata {}")),
        ("suite", ""),
    ):
        (home / f"{name}.yaml").write_text(text)
    assert folder_of(BaseModelSection(path="~/m")) == home / "m"
    assert start_of(BaseModelSection(path="gone", start_from="~/m")) == home / "m"
    assert load_prompts("~/echo.yaml").name == "echo"
    assert load_promptsource("~/p.yaml").templates
    assert suite_path("~/suite.yaml") == home / "suite.yaml"
