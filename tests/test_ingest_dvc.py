"""Where ingest reads from DVC: the working tree, a revision, and files beside one of DVC."""

import shutil
from pathlib import Path

import pytest

from tasks.errors import BadData
from tests.data.archives import write_archive
from tests.ingesting import CHATS, jsonl, made, records, run


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
    packed = {"dvc": {"repo": str(repository), "path": "chats.zip!*train*", "rev": "v1"}}
    assert len(records(run(tmp_path, packed))) == 1
    packed = {"dvc": {"repo": str(repository), "path": "chats.zip!*train*"}}
    assert len(records(run(tmp_path, packed))) == 2
    for change, part in (
        ({"rev": "v9"}, "unknown Git revision 'v9'"),
        ({"path": "gone.jsonl"}, "No such file"),
        ({"repo": str(tmp_path / "none")}, "none"),
    ):
        with pytest.raises(BadData, match=part):
            run(tmp_path, {"dvc": {**source["dvc"], **change}})


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own
def test_files_parallel_to_one_of_dvc_are_read_again_when_they_change(tmp_path: Path) -> None:
    pytest.importorskip("dvc")
    (tmp_path / "a.java").write_text("int a;\n")
    source = {
        "dvc": {"repo": str(tmp_path), "path": "a.java"},
        "format": "parallel",
        "parallel": {"target": str(tmp_path / "a.cs")},
        "constants": {"source_language": "Java", "target_language": "C#"},
    }
    for target in ("Int A;", "Int B;"):
        (tmp_path / "a.cs").write_text(f"{target}\n")
        [row] = records(run(tmp_path, source, prompts="code_translation"))
        assert row["target"] == target
    assert run(tmp_path, source, prompts="code_translation").state == "reused"


def test_a_ready_made_split_parallel_to_a_file_of_dvc(tmp_path: Path) -> None:
    pytest.importorskip("dvc")
    for name, text in {"train.de": "eins\n", "train.en": "one\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name.replace("train", "dev")).write_text(text.upper())
    source = {
        "dvc": {"repo": str(tmp_path), "path": "train.de"},
        "format": "parallel",
        "parallel": {"target": str(tmp_path / "train.en")},
        "validation": str(tmp_path / "dev.de"),
        "constants": {"source_language": "German", "target_language": "English"},
    }
    rows = records(run(tmp_path, source, prompts="translation"))
    assert [(row["source"], row["target"], row["split"]) for row in rows] == [
        ("eins", "one", None),
        ("EINS", "ONE", "validation"),
    ]


def test_the_ending_of_a_file_of_dvc_is_part_of_the_digest(tmp_path: Path) -> None:
    pytest.importorskip("dvc")
    (tmp_path / "a.tsv").write_text("dialogue\tsummary\nHi.\tBye.\n")
    run(tmp_path, {"dvc": {"repo": str(tmp_path), "path": "a.tsv"}})
    (tmp_path / "a.tsv").rename(tmp_path / "a.csv")
    with pytest.raises(BadData, match="source.format: tsv"):
        run(tmp_path, {"dvc": {"repo": str(tmp_path), "path": "a.csv"}})


def _dvc_repository(folder: Path) -> Path:
    """One with `chats.jsonl`, and a zip of it, of one row at the tag v1 and of two rows now."""
    dvc_repo = pytest.importorskip("dvc.repo")
    scm = pytest.importorskip("scmrepo.git")
    with scm.Git.init(str(made(folder))) as git, dvc_repo.Repo.init(str(folder)) as repo:
        for count, tag in ((1, "v1"), (2, "v2")):
            jsonl(folder / "chats.jsonl", CHATS[:count])
            rows = (folder / "chats.jsonl").read_bytes()
            write_archive(folder / "chats.zip", {"train.jsonl": rows, "README": b"about"})
            for name in ("chats.jsonl", "chats.zip"):
                repo.add(str(folder / name))
                git.add([str(folder / f"{name}.dvc")])
            git.commit(tag)
            git.tag(tag)
    return folder
