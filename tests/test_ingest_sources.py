"""Where ingest reads from, and the shapes in which data come."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import BadData, RetuneError
from tasks.stage import Artifact
from tests.data.archives import write_archive
from tests.ingesting import CHATS, REVIEWS, jsonl, made, records, rejects, run, summary


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
        (
            {"chat": [{"from": "user", "value": "Hi"}, {"role": "model", "content": "Yo"}]},
            {"columns": {"messages": "chat"}},
        ),
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


TALK = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yo"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "So long"},
]


def test_all_answers_of_a_conversation_are_records_of_one_group(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"messages": TALK}, {"messages": TALK[2:]}])
    artifact = run(tmp_path, {"path": path, "answers": "all"}, prompts="plain")
    first, second, single = records(artifact)
    assert [row["completion"] for row in (first, second, single)] == ["Yo", "So long", "So long"]
    assert first["group_id"] == second["group_id"] != single["group_id"] is None
    counted = {"rows": 3, "read": 2, "not_chosen": 0}
    assert summary(artifact).items() >= counted.items()
    some = run(tmp_path / "some", {"path": path, "answers": "all"}, prompts="plain", max_examples=2)
    assert summary(some).items() >= {"rows": 2, "read": 2, "not_chosen": 1}.items()
    [last, _] = records(run(tmp_path / "last", {"path": path}, prompts="plain"))
    assert (last["completion"], last["group_id"]) == ("So long", None)


def test_max_examples_chooses_whole_conversations(tmp_path: Path) -> None:
    def talk(number: int) -> list[dict[str, str]]:
        roles = ("user", "assistant") * 3
        return [{"role": role, "content": f"{number}, {turn}"} for turn, role in enumerate(roles)]

    rows = [{"messages": talk(number), "who": f"w{number}"} for number in range(40)]
    source = {"path": jsonl(tmp_path / "a.jsonl", rows[:20]), "answers": "all"}
    chosen = records(run(tmp_path, source, prompts="plain", max_examples=10))
    counts = Counter(row["group_id"] for row in chosen)
    assert sorted(counts.values()) == [1, 3, 3, 3]
    more = {**source, "path": jsonl(tmp_path / "b.jsonl", rows)}
    later = records(run(tmp_path, more, prompts="plain", max_examples=30))
    assert len({row["group_id"] for row in later}) == 10
    # Of twice as many conversations thrice as many are chosen: those of before are among them.
    assert {row["group_id"] for row in later} > counts.keys()
    by_column = {**source, "group_column": "who"}
    spread = records(run(tmp_path, by_column, prompts="plain", max_examples=10))
    assert len(spread) == 10 and len({row["group_id"] for row in spread}) > 5


def test_a_conversation_is_not_looked_for_in_a_column_that_is_not_there(tmp_path: Path) -> None:
    source = {
        "path": jsonl(tmp_path / "a.jsonl", [{"chat": TALK}]),
        "columns": {"messages": "talk"},
    }
    with pytest.raises(BadData, match=r"'talk'(.|\n)*set source.columns: messages to a column"):
        run(tmp_path, source, prompts="plain")


def test_a_group_column_says_which_records_belong_together(tmp_path: Path) -> None:
    rows = [{"prompt": str(n), "completion": "x", "user": user} for n, user in enumerate([7, 7.0])]
    rows += [{"prompt": "p", "completion": "x", "user": user} for user in ("8", None)]
    source = {"path": jsonl(tmp_path / "a.jsonl", rows), "group_column": "user"}
    groups = [row["group_id"] for row in records(run(tmp_path, source, prompts="plain"))]
    assert groups[0] == groups[1] != groups[2] is not None
    with pytest.raises(BadData, match=r"'team'(.|\n)*set source.group_column to a column"):
        run(tmp_path / "other", {**source, "group_column": "team"}, prompts="plain")


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
    jsonl(folder / "test.jsonl", [{**CHATS[2], "summary": None}])
    unlabelled = run(tmp_path, {**source, "revision": "4a5b6c"}, max_rejected=0.4)
    assert [row["split"] for row in records(unlabelled)] == ["train", "train"]
    assert summary(unlabelled)["ready_made"] == {"test": 1}
    with pytest.raises(BadData, match="BuilderConfig 'nope' not found"):
        run(tmp_path, {**source, "subset": "nope"})
    with pytest.raises(RetuneError, match="the hub cannot be reached"):
        run(tmp_path, {**source, "hub": "nobody/nothing"})


ROWS = "".join(json.dumps(chat) + "\n" for chat in CHATS)
FIRST, SECOND, THIRD = (f"{line}\n".encode() for line in ROWS.splitlines())


@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
def test_archives_are_read_like_folders_and_bring_their_splits(kind: str, tmp_path: Path) -> None:
    files = {
        "d/train_2.jsonl": SECOND,
        "d/train_1.jsonl.gz": gzip.compress(FIRST),
        "d/valid.jsonl": THIRD,
        "README": b"about",
    }
    archive = write_archive(tmp_path / kind, files)
    source = {"path": f"{archive}!*train*", "validation": f"{archive}!d/valid.jsonl"}
    artifact = run(tmp_path, source)
    assert [(row["split"], row["summary"]) for row in records(artifact)] == [
        (None, CHATS[0]["summary"]),
        (None, CHATS[1]["summary"]),
        ("validation", CHATS[2]["summary"]),
    ]
    assert not (tmp_path / "workspace" / ".ingest.scratch").exists()
    # What the other members are, and what archive these are in, makes no difference.
    other = write_archive(tmp_path / "b.zip", {**files, "README": b"other"})
    moved = {"path": f"{other}!*train*", "validation": f"{other}!*valid*"}
    assert run(tmp_path, moved).state == "reused"
    write_archive(other, {**files, "d/train_2.jsonl": SECOND + THIRD})
    assert run(tmp_path, moved).state == "ran"


@pytest.mark.parametrize("packed", [False, True])
def test_the_order_of_the_files_is_part_of_the_digest(packed: bool, tmp_path: Path) -> None:
    def read(**files: bytes) -> Artifact:
        folder = made(tmp_path / "-".join(files))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        path = write_archive(folder / "all.zip", files) if packed else folder
        return run(tmp_path, {"path": str(path), "format": "jsonl"})

    first = read(a=FIRST, b=SECOND, c=THIRD)
    assert read(x=FIRST, y=SECOND, z=THIRD).state == "reused"
    swapped = read(a=FIRST, c=SECOND, b=THIRD)
    assert (swapped.state, swapped.digest != first.digest) == ("ran", True)
    # In which order an archive has its files makes no difference.
    assert read(a=FIRST, b=THIRD, c=SECOND).state == "reused"


def test_every_file_of_several_archives(tmp_path: Path) -> None:
    write_archive(tmp_path / "1.zip", {"b.jsonl": SECOND, "a.jsonl": FIRST})
    write_archive(tmp_path / "2.tar", {"a.jsonl": THIRD})
    summaries = [chat["summary"] for chat in CHATS]
    rows = records(run(tmp_path, {"path": str(tmp_path / "[12].*")}))
    assert [row["summary"] for row in rows] == summaries
    rows = records(run(tmp_path, {"path": str(tmp_path / "*.zip![b-z]*")}))
    assert [row["summary"] for row in rows] == summaries[1:2]


def test_rejects_and_messages_name_the_file_in_the_archive(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a.zip", {"d/a.jsonl": ROWS.encode() + b"{]\n"})
    artifact = run(tmp_path, {"path": str(archive)}, max_rejected=0.5)
    assert [(row["file"], row["line"]) for row in rejects(artifact)] == [
        (f"{archive}!d/a.jsonl", 4)
    ]
    write_archive(archive, {"d/a.csv": "dialogue,summary\nä,b\n".encode("latin-1")})
    with pytest.raises(BadData) as caught:
        run(tmp_path, {"path": str(archive)})
    assert str(caught.value).startswith(f"{archive}!d/a.csv:2\n")
    assert "scratch" not in str(caught.value)


def test_parallel_files_of_an_archive(tmp_path: Path) -> None:
    files = {"t/train.de": "eins\nzwei\n", "t/train.en": "one\ntwo\n"}
    files |= {"t/dev.de": "drei\n", "t/dev.en": "three\n"}
    encoded = {name: text.encode() for name, text in files.items()}
    archive = write_archive(tmp_path / "de-en.zip", encoded)
    source: dict[str, Any] = {
        "path": f"{archive}!*/train.de",
        "format": "parallel",
        "parallel": {"target": f"{archive}!*/train.en"},
        "validation": f"{archive}!*/dev.de",
        "constants": {"source_language": "German", "target_language": "English"},
    }
    rows = records(run(tmp_path, source, prompts="translation"))
    assert [(row["source"], row["target"], row["split"]) for row in rows] == [
        ("eins", "one", None),
        ("zwei", "two", None),
        ("drei", "three", "validation"),
    ]
    write_archive(archive, {**encoded, "t/train.en": b"one\n"})
    with pytest.raises(BadData, match=r"2 in .*zip!t/train\.de; 1 in .*zip!t/train\.en"):
        run(tmp_path, source, prompts="translation")
    source |= {"path": f"{archive}!*.de", "validation": None}
    with pytest.raises(BadData, match=r"one file\n.*t/dev\.de and t/train\.de"):
        run(tmp_path, source, prompts="translation")


LABELS = {"values": {"label": {"pos": "positive", "neg": "negative"}}}


def test_labels_from_folders(tmp_path: Path) -> None:
    files = {"pos/1.txt": b"Good.\n\nVery.", "neg/1.txt": b"Bad.", "neg/2.txt": b"Bad."}
    for name, content in files.items():
        path = tmp_path / "posts" / "reviews" / name
        made(path.parent)
        path.write_bytes(content)
    folder = {"path": str(tmp_path / "posts" / "**" / "*.txt")}
    archive = {"path": str(write_archive(tmp_path / "a.tar.gz", files))}
    settings = {"format": "documents", "path_fields": "(?P<label>pos|neg)/", **LABELS}
    for source in (folder, archive):
        rows = records(run(tmp_path, source | settings, **REVIEWS))
        assert [(row["text"], row["label"]) for row in rows] == [
            ("Bad.", "negative"),
            ("Good.\n\nVery.", "positive"),
        ]


def test_what_is_taken_from_the_path_is_part_of_the_digest(tmp_path: Path) -> None:
    (tmp_path / "rt.neg").write_text("so so\n\nmeh\n")
    settings = {"format": "lines", "path_fields": r"\.(?P<label>\w+)$", **LABELS}
    first = run(tmp_path, {"path": str(tmp_path / "rt.neg"), **settings}, **REVIEWS)
    assert [(row["text"], row["label"]) for row in records(first)] == [
        ("so so", "negative"),
        ("meh", "negative"),
    ]
    (tmp_path / "rt.neg").rename(tmp_path / "other.neg")
    moved = run(tmp_path, {"path": str(tmp_path / "other.neg"), **settings}, **REVIEWS)
    assert moved.state == "reused"
    (tmp_path / "other.neg").rename(tmp_path / "other.pos")
    renamed = run(tmp_path, {"path": str(tmp_path / "*.pos"), **settings}, **REVIEWS)
    assert (renamed.state, records(renamed)[0]["label"]) == ("ran", "positive")


def test_the_split_may_stand_in_the_path(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a.zip", {"dev/a.jsonl": FIRST, "train/a.jsonl": SECOND})
    source = {"path": str(archive), "path_fields": "^(?P<part>[^/]+)/", "split_column": "part"}
    assert [row["split"] for row in records(run(tmp_path, source))] == ["validation", "train"]


TEXT = {"columns": {"text": "text", "original": "text"}}


@pytest.mark.parametrize(
    ("content", "source", "prompts", "expected"),
    [
        (
            "One.\nTwo.\n",
            {"format": "lines", **TEXT},
            "denoising",
            [{"text": "One."}, {"text": "Two."}],
        ),
        (
            "One.\n\nTwo.\n",
            {"format": "documents", **TEXT},
            "denoising",
            [{"text": "One.\n\nTwo."}],
        ),
        ("A\nb.\n\nC.\n", {"format": "passages", **TEXT}, "denoising", [{"text": "A b.\nC."}]),
        (
            "<Pros>Light</Pros>\n<Cons>Dear</Cons>\n",
            {
                "format": "tagged_lines",
                "values": {"label": {"Pros": "positive", "Cons": "negative"}},
            },
            "review_sentiment",
            [{"text": "Light", "label": "positive"}, {"text": "Dear", "label": "negative"}],
        ),
        (
            '{"Definition": ["Count."],\n"Instances": [{"input": "", "output": ["1 2", "1, 2"]}]}',
            {"format": "natural_instructions"},
            "instruction",
            [{"instruction": "Count.", "input": "", "references": ["1 2", "1, 2"]}],
        ),
        (
            "EU I-ORG O\nrules O O\n",
            {"format": "conll", "tag_column": 1},
            "named_entities",
            [{"sentence": "EU rules", "entities": "organisation: EU"}],
        ),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_formats_that_the_name_does_not_say(
    content: str,
    source: dict[str, Any],
    prompts: str,
    expected: list[dict[str, Any]],
    zipped: bool,
    tmp_path: Path,
) -> None:
    path = tmp_path / ("a.txt.gz" if zipped else "a.txt")
    encoded = content.encode("utf-8-sig")
    path.write_bytes(gzip.compress(encoded) if zipped else encoded)
    rows = records(run(tmp_path, {"path": str(path), **source}, prompts=prompts))
    for row, fields in zip(rows, expected, strict=True):
        assert {key: row[key] for key in fields} == fields
