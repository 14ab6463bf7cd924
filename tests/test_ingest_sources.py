"""Where ingest reads from, and the shapes in which data come."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import BadData, RetuneError
from tests.ingesting import CHATS, jsonl, made, records, run


@pytest.mark.parametrize("path", ["part-*.jsonl", "."])
def test_globs_and_folders_are_read_by_name(path: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "data")
    jsonl(folder / "part-2.jsonl", CHATS[1:])
    jsonl(folder / "part-1.jsonl", CHATS[:1])
    (folder / "_SUCCESS").touch()
    (folder / ".hidden").touch()
    rows = records(run(tmp_path, {"path": str(folder / path)}))
    assert [row["summary"] for row in rows] == [chat["summary"] for chat in CHATS]


def test_instructions_may_lack_their_input(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Count.", "output": "1 2 3"},
        {"instruction": "Translate.", "input": "Tag", "output": "day"},
    ]
    source = {"path": jsonl(tmp_path / "a.jsonl", rows)}
    read = records(run(tmp_path, source, prompts="instruction"))
    assert [row["input"] for row in read] == ["", "Tag"]


@pytest.mark.parametrize(
    ("row", "source"),
    [
        (
            {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Yo"},
                ]
            },
            {},
        ),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]}, {}),
        ({"prompt": "Hi", "response": "Yo"}, {}),
        ({"prompt": "Hi", "completion": "Yo"}, {"shape": "columns"}),
        ({"q": "Hi", "a": "Yo"}, {"columns": {"prompt": "q", "completion": "a"}}),
        (
            {"instruction": "Hi", "output": "Yo"},
            {"shape": "alpaca", "columns": {"prompt": "instruction", "completion": "output"}},
        ),
    ],
)
def test_shapes(row: dict[str, Any], source: dict[str, Any], tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [row])
    [record] = records(run(tmp_path, {"path": path, **source}, prompts="plain"))
    assert (record["prompt"], record["completion"]) == ("Hi", "Yo")


def test_parallel_files_and_their_ready_made_split(tmp_path: Path) -> None:
    for name, text in {
        "train.java": "int a;\nint b;\n",
        "train.cs": "Int A;\r\nInt B;\r\n",
        "valid.java": "int c;\n",
        "valid.cs": "Int C;\n",
    }.items():
        (tmp_path / name).write_bytes(text.encode())
    source = {
        "path": str(tmp_path / "train.java"),
        "format": "parallel",
        "parallel": {"target": str(tmp_path / "train.cs")},
        "validation": str(tmp_path / "valid.java"),
        "constants": {"source_language": "Java", "target_language": "C#"},
    }
    rows = records(run(tmp_path, source, prompts="code_translation"))
    assert [(row["source"], row["target"], row["split"]) for row in rows] == [
        ("int a;", "Int A;", None),
        ("int b;", "Int B;", None),
        ("int c;", "Int C;", "validation"),
    ]
    assert {row["target_language"] for row in rows} == {"C#"}


def test_saved_data_sets_bring_their_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    splits = {
        "train": datasets.Dataset.from_list(CHATS[:2]),
        "dev": datasets.Dataset.from_list(CHATS[2:]),
        "unsupervised": datasets.Dataset.from_list(CHATS[2:]),
    }
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    rows = records(run(tmp_path, {"path": str(tmp_path / "saved"), "format": "saved"}))
    assert [row["split"] for row in rows] == ["train", "train", "validation"]
    splits["train"].save_to_disk(str(tmp_path / "single"))
    rows = records(run(tmp_path, {"path": str(tmp_path / "single")}))
    assert [row["split"] for row in rows] == [None, None]


def test_hub_data_sets_come_through_the_datasets_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = made(tmp_path / "hub")
    jsonl(folder / "train.jsonl", CHATS[:2])
    jsonl(folder / "test.jsonl", CHATS[2:])
    source = {"hub": str(folder), "revision": "1f2e3d"}
    rows = records(run(tmp_path, source))
    assert [(row["split"], row["summary"]) for row in rows] == [
        ("train", CHATS[0]["summary"]),
        ("train", CHATS[1]["summary"]),
        ("test", CHATS[2]["summary"]),
    ]
    with pytest.raises(BadData, match="BuilderConfig 'nope' not found"):
        run(tmp_path, {**source, "subset": "nope"})
    with pytest.raises(RetuneError, match="the hub cannot be reached"):
        run(tmp_path, {**source, "hub": "nobody/nothing"})


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own
@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_dvc_files_at_a_revision(tmp_path: Path) -> None:
    repository = _dvc_repository(tmp_path / "registry")
    source = {"dvc": {"repo": str(repository), "path": "chats.jsonl", "rev": "v1"}}
    assert len(records(run(tmp_path, source))) == 1
    current = {"dvc": {"repo": str(repository), "path": "chats.jsonl"}}
    assert len(records(run(tmp_path, current))) == 2
    (repository / "chats.jsonl").unlink()
    assert len(records(run(tmp_path / "b", current))) == 2
    for change, part in (
        ({"rev": "v9"}, "unknown Git revision 'v9'"),
        ({"path": "gone.jsonl"}, "No such file"),
        ({"repo": str(tmp_path / "none")}, "none"),
    ):
        with pytest.raises(BadData, match=part):
            run(tmp_path, {"dvc": {**source["dvc"], **change}})


def _dvc_repository(folder: Path) -> Path:
    """One with `chats.jsonl` of one row at the tag v1 and of two rows now."""
    dvc_repo = pytest.importorskip("dvc.repo")
    scm = pytest.importorskip("scmrepo.git")
    with scm.Git.init(str(made(folder))) as git, dvc_repo.Repo.init(str(folder)) as repo:
        for count, tag in ((1, "v1"), (2, "v2")):
            jsonl(folder / "chats.jsonl", CHATS[:count])
            repo.add(str(folder / "chats.jsonl"))
            git.add([str(folder / "chats.jsonl.dvc")])
            git.commit(tag)
            git.tag(tag)
    return folder
