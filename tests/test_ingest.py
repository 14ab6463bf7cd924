import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import ingest
from tasks.config import Recipe
from tasks.errors import BadData, BadRecipe, RetuneError
from tasks.stage import Artifact, Inputs

CHATS = [
    {"dialogue": "Ana: Lunch at one?\nBo: See you.", "summary": "Ana and Bo meet at one."},
    {"dialogue": "Ana: Did it ship?\nBo: Today.", "summary": "It ships today."},
    {"dialogue": "Cy: Is Müller in?\nDi: No, ill.", "summary": "Müller is ill."},
]
REVIEWS = {"prompts": "review_sentiment", "max_rejected": 0.9}


def recipe_of(source: dict[str, Any], prompts: str = "dialogue_summary", **task: Any) -> Recipe:
    content = {
        "name": "toy",
        "base_model": {"path": "models/toy"},
        "tasks": [{"name": "toy", "source": source, "prompts": prompts, **task}],
        "registry": {"model": "toy"},
    }
    return Recipe.model_validate_json(json.dumps(content))


def run(tmp_path: Path, source: dict[str, Any], **task: Any) -> Artifact:
    workspace = tmp_path / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    return ingest.run(ingest.select(recipe_of(source, **task)), Inputs(workspace, {}))


def records(artifact: Artifact) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(artifact.path / "toy.parquet").to_pylist()
    return rows


def summary(artifact: Artifact) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((artifact.path / "summary.json").read_text())
    return dict(content["toy"])


def rejects(artifact: Artifact) -> list[dict[str, Any]]:
    lines = (artifact.path / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_records_have_ids_references_and_fields_in_the_order_of_the_source(tmp_path: Path) -> None:
    artifact = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", CHATS)})
    rows = records(artifact)
    assert [list(row) for row in rows] == [["id", "split", "references", "dialogue", "summary"]] * 3
    assert [row["summary"] for row in rows] == [chat["summary"] for chat in CHATS]
    assert [row["references"] for row in rows] == [[chat["summary"]] for chat in CHATS]
    assert [row["split"] for row in rows] == [None] * 3
    content = "\0".join(["dialogue", CHATS[0]["dialogue"], "summary", CHATS[0]["summary"]])
    assert rows[0]["id"] == hashlib.sha256(content.encode()).hexdigest()[:16]
    assert artifact.rows == 3
    assert artifact.counts == {"toy": 3, "rejected": 0, "duplicates": 0}


def test_the_digest_depends_on_content_alone(tmp_path: Path) -> None:
    one = run(tmp_path / "x", {"path": jsonl(_made(tmp_path / "x") / "a.jsonl", CHATS)})
    other_file = _made(tmp_path / "y" / "deep") / "b.jsonl"
    other = run(tmp_path / "y", {"path": jsonl(other_file, CHATS)})
    table = _made(tmp_path / "z") / "c.parquet"
    pq.write_table(pa.Table.from_pylist(CHATS), table)
    third = run(tmp_path / "z", {"path": str(table)})
    assert one.digest == other.digest == third.digest
    assert str(tmp_path) not in (one.path / "summary.json").read_text()


def test_a_moved_file_is_not_read_again(tmp_path: Path) -> None:
    first = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", CHATS)})
    (tmp_path / "a.jsonl").rename(tmp_path / "b.jsonl")
    assert run(tmp_path, {"path": str(tmp_path / "b.jsonl")}).state == "reused"
    jsonl(tmp_path / "b.jsonl", CHATS[:2])
    again = run(tmp_path, {"path": str(tmp_path / "b.jsonl")})
    assert (again.state, again.rows) == ("ran", 2)
    assert again.digest != first.digest


def test_rejects_have_their_file_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows: list[Any] = [
        CHATS[0],
        {"dialogue": "Ana: Hi", "summary": " \n"},
        {"dialogue": None, "summary": "x"},
        {"dialogue": ["Ana: Hi"], "summary": "x"},
        {"dialogue": {"a": 1}, "summary": "x"},
        {"dialogue": "a\0b", "summary": "x"},
        {"dialogue": "a", "summary": "\ud800"},
        {"dialogue": float("nan"), "summary": "x"},
        {"summary": "x"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\nnot json\n")
    artifact = run(tmp_path, {"path": str(path)}, max_rejected=0.95)
    assert [(r["line"], r["reason"]) for r in rejects(artifact)] == [
        (2, "summary is empty"),
        (3, "dialogue is missing"),
        (4, "dialogue is a list, not text"),
        (5, "dialogue is an object, not text"),
        (6, "dialogue has a NUL character"),
        (7, "summary has half a surrogate pair"),
        (8, "dialogue is missing"),
        (9, "dialogue is missing"),
        (11, "not JSON: Expecting value at column 1"),
    ]
    assert rejects(artifact)[0] == {
        "task": "toy",
        "file": str(path),
        "line": 2,
        "reason": "summary is empty",
        "row": rows[1],
    }
    counted = summary(artifact)
    assert {key: counted[key] for key in ("rows", "read", "rejected", "duplicates")} == {
        "rows": 1,
        "read": 10,
        "rejected": 9,
        "duplicates": 0,
    }
    assert counted["reasons"]["dialogue is missing"] == 3
    assert sum(counted["reasons"].values()) == 9


def test_many_reasons_are_summed_up(tmp_path: Path) -> None:
    rows = [{"text": f"t{number}", "label": f"l{number}"} for number in range(30)]
    rows.append({"text": "good", "label": "positive"})
    source = {"path": jsonl(tmp_path / "a.jsonl", rows)}
    counted = summary(run(tmp_path, source, prompts="review_sentiment", max_rejected=0.99))
    assert len(counted["reasons"]) == 21
    assert counted["reasons"]["other reasons"] == 10


def test_too_many_rejects_stop_the_stage_and_are_kept(tmp_path: Path) -> None:
    rows = [CHATS[0], *({"dialogue": f"d{n}", "summary": ""} for n in range(4))]
    source = {"path": jsonl(tmp_path / "a.jsonl", rows)}
    with pytest.raises(BadData) as caught:
        run(tmp_path, source, max_rejected=0.5)
    message = str(caught.value)
    kept = tmp_path / "workspace" / "ingest-rejects.jsonl"
    assert "4 of 5 rows unusable (80.0%): 4 x summary is empty" in message
    assert "a.jsonl:2 summary is empty" in message and "a.jsonl:4 summary" in message
    assert "a.jsonl:5" not in message
    assert str(kept) in message
    assert len(kept.read_text().splitlines()) == 4
    assert not (tmp_path / "workspace" / "ingest").exists()
    run(tmp_path, source, max_rejected=0.9)
    assert not kept.exists()


def test_labels_outside_the_choices_are_rejected(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "positive"}, {"text": "b", "label": "Positive"}]
    artifact = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", rows)}, **REVIEWS)
    assert len(records(artifact)) == 1
    assert rejects(artifact)[0]["reason"] == "label 'Positive' is not one of negative, positive"


def test_columns_values_and_constants(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('It "works"\t1\nIt broke\t0\n')
    source = {
        "path": str(path),
        "header": False,
        "columns": {"text": "0", "label": "1"},
        "values": {"label": {"0": "negative", "1": "positive"}},
    }
    rows = records(run(tmp_path, source, prompts="review_sentiment"))
    assert [(row["text"], row["label"]) for row in rows] == [
        ('It "works"', "positive"),
        ("It broke", "negative"),
    ]
    constant = {"path": str(path), "header": False, "columns": {"text": "0"}}
    constant["constants"] = {"label": "negative"}
    rows = records(run(tmp_path, constant, prompts="review_sentiment"))
    assert [row["references"] for row in rows] == [["negative"]] * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.0, "5"),
        (5, "5"),
        (0.5, "0.5"),
        (True, "true"),
        (" a\r\nb\rc ", "a\nb\nc"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_values_become_clean_text(value: Any, text: str, tmp_path: Path) -> None:
    source = {"path": jsonl(tmp_path / "a.jsonl", [{"dialogue": value, "summary": "x"}])}
    assert records(run(tmp_path, source))[0]["dialogue"] == text


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"summary": "a", "summary2": "b", "summary3": "c"}, ["a", "b", "c"]),
        ({"summary1": "a", "summary2": "b"}, ["a", "b"]),
        ({"summary": "a", "summary10": "c", "summary2": "b"}, ["a", "b", "c"]),
        ({"summary": "a", "summary2": "", "summary3": None}, ["a"]),
        ({"summary": "a", "summary2": "a"}, ["a"]),
        ({"summary": ["a", "b"]}, ["a", "b"]),
    ],
)
def test_several_references(row: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    source = {"path": jsonl(tmp_path / "a.jsonl", [{"dialogue": "d", **row}])}
    record = records(run(tmp_path, source))[0]
    assert record["references"] == expected
    assert record["summary"] == "a"


def test_duplicates_are_removed_and_counted(tmp_path: Path) -> None:
    rows = [CHATS[0], CHATS[1], {**CHATS[0], "topic": "lunch"}, {**CHATS[1], "summary": "Other."}]
    artifact = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", rows)})
    assert [row["summary"] for row in records(artifact)] == [
        CHATS[0]["summary"],
        CHATS[1]["summary"],
        "Other.",
    ]
    assert summary(artifact)["duplicates"] == 1


def test_a_row_in_train_and_in_test_stays_in_both(tmp_path: Path) -> None:
    test = jsonl(tmp_path / "test.jsonl", [CHATS[0], CHATS[0], CHATS[2]])
    artifact = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", CHATS[:2]), "test": test})
    kept = [(row["split"], row["summary"]) for row in records(artifact)]
    first, second, third = (chat["summary"] for chat in CHATS)
    assert kept == [(None, first), (None, second), ("test", first), ("test", third)]
    assert summary(artifact)["duplicates"] == 1


def test_a_split_column_names_the_split(tmp_path: Path) -> None:
    names = ["train", "dev", "valid", "Validation", "val", "test", "eval"]
    rows = [{"dialogue": f"d{name}", "summary": "s", "part": name} for name in names]
    source = {"path": jsonl(tmp_path / "a.jsonl", rows), "split_column": "part"}
    artifact = run(tmp_path, source, max_rejected=0.5)
    assert [row["split"] for row in records(artifact)] == ["train", *["validation"] * 4, "test"]
    assert rejects(artifact)[0]["reason"].startswith("part 'eval' is not one of train, dev")


def test_max_examples_keeps_order_and_does_not_count_ready_made_splits(tmp_path: Path) -> None:
    rows = [{"dialogue": f"d{number}", "summary": f"s{number}"} for number in range(50)]
    test = jsonl(tmp_path / "test.jsonl", CHATS)
    source = {"path": jsonl(tmp_path / "a.jsonl", rows), "test": test}
    few, more = (records(run(tmp_path, source, max_examples=count)) for count in (10, 20))
    chosen = [row["dialogue"] for row in few if row["split"] is None]
    assert len(chosen) == 10 and len(few) == 13
    assert chosen == sorted(chosen, key=lambda text: int(text[1:]))
    assert set(chosen) < {row["dialogue"] for row in more}
    assert chosen[:2] != ["d0", "d1"]
    backwards = {"path": jsonl(tmp_path / "b.jsonl", rows[::-1])}
    again = records(run(tmp_path, backwards, max_examples=10))
    assert [row["dialogue"] for row in again] == chosen[::-1]
    assert len(records(run(tmp_path, backwards, max_examples=500))) == 50


def test_many_rows_come_in_batches(tmp_path: Path) -> None:
    rows = [{"dialogue": f"d{number}", "summary": "s"} for number in range(20_500)]
    artifact = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", rows)})
    file = pq.ParquetFile(artifact.path / "toy.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(3)] == [10_000, 10_000, 500]
    assert [row["dialogue"] for row in records(artifact)] == [row["dialogue"] for row in rows]


@pytest.mark.parametrize("path", ["part-*.jsonl", "."])
def test_globs_and_folders_are_read_by_name(path: str, tmp_path: Path) -> None:
    folder = _made(tmp_path / "data")
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
    folder = _made(tmp_path / "hub")
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


def test_prompt_wording_is_no_reason_to_read_again(tmp_path: Path) -> None:
    text = (
        "name: mine\nversion: 1\ntask: generation\nslots: [dialogue]\ntarget: summary\n"
        "templates:\n  - name: one\n    prompt: |\n      {{ dialogue }} WORDING\n"
        "example: {dialogue: d, summary: s}\n"
    )
    prompts = tmp_path / "mine.yaml"
    source = {"path": jsonl(tmp_path / "a.jsonl", CHATS)}
    prompts.write_text(text)
    assert run(tmp_path, source, prompts=str(prompts)).state == "ran"
    prompts.write_text(text.replace("WORDING", "Sum it up.").replace("version: 1", "version: 2"))
    assert run(tmp_path, source, prompts=str(prompts)).state == "reused"


def test_a_mapping_for_an_unknown_field_is_a_bad_recipe(tmp_path: Path) -> None:
    source = {"path": "a.jsonl", "columns": {"dialog": "x"}, "values": {"sumary": {"a": "b"}}}
    with pytest.raises(BadRecipe) as caught:
        ingest.select(recipe_of(source))
    assert [issue.found for issue in caught.value.issues] == ["'dialog'", "'sumary'"]
    assert "dialogue, summary" in caught.value.issues[0].expected


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
    with scm.Git.init(str(_made(folder))) as git, dvc_repo.Repo.init(str(folder)) as repo:
        for count, tag in ((1, "v1"), (2, "v2")):
            jsonl(folder / "chats.jsonl", CHATS[:count])
            repo.add(str(folder / "chats.jsonl"))
            git.add([str(folder / "chats.jsonl.dvc")])
            git.commit(tag)
            git.tag(tag)
    return folder
