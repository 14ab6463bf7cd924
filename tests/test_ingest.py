"""What ingest makes of rows."""

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import ingest
from tasks.errors import BadData, BadRecipe
from tests.ingesting import CHATS, REVIEWS, jsonl, made, recipe_of, records, rejects, run, summary


def test_records_have_ids_references_and_fields_in_the_order_of_the_source(tmp_path: Path) -> None:
    artifact = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", CHATS)})
    rows = records(artifact)
    columns = ["id", "split", "group_id", "references", "dialogue", "summary"]
    assert [list(row) for row in rows] == [columns] * 3
    assert [row["summary"] for row in rows] == [chat["summary"] for chat in CHATS]
    assert [row["references"] for row in rows] == [[chat["summary"]] for chat in CHATS]
    assert [row["split"] for row in rows] == [None] * 3
    content = "\0".join(["dialogue", CHATS[0]["dialogue"], "summary", CHATS[0]["summary"]])
    assert rows[0]["id"] == hashlib.sha256(content.encode()).hexdigest()[:16]
    assert artifact.rows == 3
    assert artifact.counts == {"toy": 3, "rejected": 0, "duplicates": 0}


def test_the_digest_depends_on_content_alone(tmp_path: Path) -> None:
    one = run(tmp_path / "x", {"path": jsonl(made(tmp_path / "x") / "a.jsonl", CHATS)})
    other_file = made(tmp_path / "y" / "deep") / "b.jsonl"
    other = run(tmp_path / "y", {"path": jsonl(other_file, CHATS)})
    table = made(tmp_path / "z") / "c.parquet"
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
    assert counted["reasons"]["not JSON: Expecting value"] == 1
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
        ("\ufeff\u200b a\u200bb\u3000\u2060", "a\u200bb"),
    ],
)
def test_values_become_clean_text(value: Any, text: str, tmp_path: Path) -> None:
    source = {"path": jsonl(tmp_path / "a.jsonl", [{"dialogue": value, "summary": "x"}])}
    assert records(run(tmp_path, source))[0]["dialogue"] == text


@pytest.mark.parametrize("blank", ["\u200b", "\ufeff", " \u2060\u3000"])
def test_a_text_that_nobody_sees_is_empty(blank: str, tmp_path: Path) -> None:
    rows = [CHATS[0], {"dialogue": blank, "summary": "x"}, {"dialogue": "x", "summary": blank}]
    artifact = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", rows)}, max_rejected=0.9)
    assert [row["reason"] for row in rejects(artifact)] == ["dialogue is empty", "summary is empty"]


def test_values_are_translated_whatever_blanks_are_around_them(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": " pos"}, {"text": "b", "label": "cafe\u0301"}]
    values = {"label": {" pos ": "positive ", "caf\u00e9": "negative"}}
    source = {"path": jsonl(tmp_path / "a.jsonl", rows), "values": values}
    read = records(run(tmp_path, source, prompts="review_sentiment"))
    assert [row["label"] for row in read] == ["positive", "negative"]


@pytest.mark.parametrize(
    "given", [{"values": {"summary": {"a\0": "b"}}}, {"constants": {"summary": "\0"}}]
)
def test_a_setting_that_no_text_can_have_is_told(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"source\.(values|constants)\n.*text\n.*NUL character"):
        run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", CHATS), **given})


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        (list(np.array([4.7, 5, 0.1, 0], np.float16)), pa.float16(), ["4.7", "5", "0.1", "0"]),
        ([4.7, 5.0, 1e20], pa.float32(), ["4.7", "5", "100000000000000000000"]),
        ([Decimal("5.00"), Decimal("4.50")], pa.decimal128(5, 2), ["5", "4.50"]),
        ([Decimal("9" * 36 + ".00")], pa.decimal128(38, 2), ["9" * 36]),
    ],
)
def test_numbers_of_a_table_are_written_as_they_were(
    values: list[Any], kind: pa.DataType, texts: list[str], tmp_path: Path
) -> None:
    table = pa.table({"dialogue": pa.array(values, kind), "summary": ["x"] * len(values)})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = records(run(tmp_path, {"path": str(tmp_path / "a.parquet")}))
    assert [row["dialogue"] for row in rows] == texts


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
def test_several_references(
    row: dict[str, Any], expected: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = {"path": jsonl(tmp_path / "a.jsonl", [{"dialogue": "d", **row}])}
    caplog.set_level("INFO", "retune")
    record = records(run(tmp_path, source))[0]
    assert record["references"] == expected
    assert record["summary"] == "a"
    told = "1 records to train on have several answers, of which the first is learnt"
    assert (told in caplog.text) == (len(expected) > 1)


@pytest.mark.parametrize(
    ("column", "others"),
    [("q1", ("q2", "q12", "q13")), ("1", ("2", "12")), ("q1", ("q11", "q12"))],
)
def test_a_numbered_column_is_one_of_many_not_of_the_references(
    column: str, others: tuple[str, ...], tmp_path: Path
) -> None:
    row = {"dialogue": "d", column: "right", **dict.fromkeys(others, "wrong")}
    source = {"path": jsonl(tmp_path / "a.jsonl", [row]), "columns": {"summary": column}}
    assert records(run(tmp_path, source))[0]["references"] == ["right"]


def test_a_column_that_is_not_there_is_not_looked_for_behind_its_number(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"dialogue": "d", "q11": "wrong"}])
    with pytest.raises(BadData, match="the column 'q1'"):
        run(tmp_path, {"path": path, "columns": {"summary": "q1"}})


NESTED = {
    "chat": {"turns": [{"text": "Ana: Lunch?"}], "meta": {"who": "Ana"}},
    "answers": [{"text": "Ana eats."}, {"text": "Lunch."}],
    "a.b": "own name",
    "a": {"b": "nested"},
}


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_fields_of_nested_objects(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([NESTED]), path)
    else:
        jsonl(path, [NESTED])
    columns = {"dialogue": "chat.meta.who", "summary": "answers.text"}
    source = {"path": str(path), "columns": columns, "group_column": "chat.meta.who"}
    [record] = records(run(tmp_path, source))
    assert (record["dialogue"], record["references"]) == ("Ana", ["Ana eats.", "Lunch."])
    assert record["group_id"]
    own = {"path": str(path), "columns": {**columns, "dialogue": "a.b"}}
    assert records(run(tmp_path, own))[0]["dialogue"] == "own name"
    for wrong, found in (("chat.meta.whom", "chat.meta.who"), ("chat.who", "chat.turns.text")):
        with pytest.raises(BadData, match=f"the column '{wrong}'(.|\n)*only chat,.* {found},"):
            run(tmp_path, {"path": str(path), "columns": {**columns, "dialogue": wrong}})


def test_a_row_without_the_nested_object_is_rejected(tmp_path: Path) -> None:
    rows = [NESTED, {**NESTED, "chat": {"meta": None}}, {**NESTED, "chat": "who"}]
    columns = {"dialogue": "chat.meta.who", "summary": "answers.text"}
    source = {"path": jsonl(tmp_path / "a.jsonl", rows), "columns": columns}
    artifact = run(tmp_path, source, max_rejected=0.9)
    assert summary(artifact)["reasons"] == {"dialogue (column chat.meta.who) is missing": 2}


def test_later_rows_may_have_more_references(tmp_path: Path) -> None:
    rows = [{"dialogue": f"d{number}", "summary": "a"} for number in range(150)]
    rows[120]["summary2"] = "b"
    read = records(run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", rows)}))
    assert [row["references"] for row in read[119:122]] == [["a"], ["a", "b"], ["a"]]


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
    names = ["train", "dev", "valid", "Validation", "val", "test", "Testing", "eval"]
    rows = [{"dialogue": f"d{name}", "summary": "s", "part": name} for name in names]
    source = {"path": jsonl(tmp_path / "a.jsonl", rows), "split_column": "part"}
    artifact = run(tmp_path, source, max_rejected=0.5)
    assert [row["split"] for row in records(artifact)] == [
        "train",
        *["validation"] * 4,
        *["test"] * 2,
    ]
    assert rejects(artifact)[0]["reason"].startswith("part 'eval' is not one of train, dev")


def test_max_examples_keeps_order_and_does_not_count_ready_made_splits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "retune")
    rows = [{"dialogue": f"d{number}", "summary": f"s{number}"} for number in range(50)]
    test = jsonl(tmp_path / "test.jsonl", CHATS)
    source = {"path": jsonl(tmp_path / "a.jsonl", rows), "test": test}
    few, more = (records(run(tmp_path, source, max_examples=count)) for count in (10, 20))
    chosen = [row["dialogue"] for row in few if row["split"] is None]
    assert len(chosen) == 10 and len(few) == 13
    assert "13 records of 53 rows" in caplog.text and "40 not chosen (max_examples)" in caplog.text
    assert chosen == sorted(chosen, key=lambda text: int(text[1:]))
    assert set(chosen) < {row["dialogue"] for row in more}
    assert chosen[:2] != ["d0", "d1"]
    backwards = {"path": jsonl(tmp_path / "b.jsonl", rows[::-1])}
    again = records(run(tmp_path, backwards, max_examples=10))
    assert [row["dialogue"] for row in again] == chosen[::-1]
    assert len(records(run(tmp_path, backwards, max_examples=500))) == 50


def test_a_column_that_is_mapped_must_be_there_even_for_a_field_that_may_be_empty(
    tmp_path: Path,
) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"q": "Why?", "context": "It rains.", "a": "So."}])
    columns = {"instruction": "q", "input": "contxt", "output": "a"}
    with pytest.raises(BadData, match=r"'contxt'\n.*\n.*source.columns: \{input: context\}"):
        run(tmp_path, {"path": path, "columns": columns}, prompts="instruction")
    columns["input"] = "context"
    [row] = records(run(tmp_path, {"path": path, "columns": columns}, prompts="instruction"))
    assert row["input"] == "It rains."


def test_many_rows_come_in_batches(tmp_path: Path) -> None:
    rows = [{"dialogue": f"d{number}", "summary": "s"} for number in range(20_500)]
    artifact = run(tmp_path, {"path": jsonl(tmp_path / "a.jsonl", rows)})
    file = pq.ParquetFile(artifact.path / "toy.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(3)] == [10_000, 10_000, 500]
    assert [row["dialogue"] for row in records(artifact)] == [row["dialogue"] for row in rows]


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
