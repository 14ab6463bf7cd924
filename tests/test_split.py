"""The split stage, on examples as the template stage leaves them."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import split, template
from tasks.data import batches
from tasks.errors import BadData
from tasks.stage import Artifact, Inputs

JUDGING = ("validation", "test")
WORDS = [f"w{number}" for number in range(400)]


def example(task: str, number: int, text: str, side: str | None = None) -> dict[str, Any]:
    identity = {"id": f"{task[:4]}{number:012x}", "task": task, "split": side, "template": "plain"}
    answer = {"prompt": text, "completion": "yes", "references": ["yes"], "label": None}
    return {**identity, **answer, "text": text}


def texts(num: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.sample(WORDS, 30)) for _ in range(num)]


def divided(folder: Path, rows: list[dict[str, Any]], **section: Any) -> Artifact:
    workspace = folder / "workspace"
    made = workspace / "template"
    made.mkdir(parents=True)
    table = pa.Table.from_pylist(rows, template.SCHEMA)
    pq.write_table(table, made / "examples.parquet", row_group_size=50)
    artifact = Artifact("template", made, "digest", len(rows), "ran", 0.1, {})
    return split.run(split.SplitSection(**section), Inputs(workspace, {"template": artifact}))


def sides(artifact: Artifact) -> dict[str, str]:
    return {
        record: side
        for side in ("train", "validation", "test")
        for record in pq.read_table(artifact.path / f"{side}.parquet")["id"].to_pylist()
    }


def test_each_task_is_divided_by_its_own_texts(tmp_path: Path) -> None:
    first, second = texts(130, seed=1), texts(170, seed=2)
    copies = [f"{text} again" for text in second[:60]]
    rows = [example("first", number, text) for number, text in enumerate(first)]
    rows += [example("second", number, text) for number, text in enumerate(second + copies)]
    artifact = divided(tmp_path, rows, validation=0.2, test=0.2)
    placed = sides(artifact)
    assert len(placed) == len(rows)
    assert all(placed[f"seco{n:012x}"] == placed[f"seco{170 + n:012x}"] for n in range(60))
    summary = json.loads((artifact.path / "summary.json").read_text())
    assert (summary["first"]["near_duplicates"], summary["second"]["near_duplicates"]) == (0, 60)


@pytest.mark.parametrize(("questions", "told"), [(1, False), (5, True)])
def test_shares_that_near_duplicates_change_are_told(
    tmp_path: Path, questions: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    passages = [f"{text} {n}" for text in texts(200 // questions, seed=3) for n in range(questions)]
    rows = [example("asked", number, text) for number, text in enumerate(passages)]
    placed = divided(tmp_path, rows, validation=0.1, test=0.1)
    assert (placed.counts["test"] > 60) == told
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert any("% of asked are on the side test, where" in text for text in warnings) == told
    assert bool(warnings) == told


def grouped(rows: list[dict[str, Any]], groups: list[str | None]) -> list[dict[str, Any]]:
    return [{**row, "group_id": group} for row, group in zip(rows, groups, strict=True)]


def test_a_group_stays_on_one_side_and_takes_no_more_than_its_share(tmp_path: Path) -> None:
    rows = [example("first", number, text) for number, text in enumerate(texts(600, seed=5))]
    groups = [f"group {number // 5}" for number in range(500)] + [None] * 100
    artifact = divided(tmp_path, grouped(rows, groups), validation=0.2, test=0.2)
    placed = sides(artifact)
    for start in range(0, 500, 5):
        assert len({placed[f"firs{start + n:012x}"] for n in range(5)}) == 1
    assert len({placed[f"firs{n:012x}"] for n in range(500, 600)}) == 3
    for side in ("validation", "test"):  # 4 standard errors of 100 groups
        assert abs(artifact.counts[side] / 600 - 0.2) < 0.16


def test_few_groups_on_the_test_side_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [example("first", number, text) for number, text in enumerate(texts(600, seed=5))]
    for size, told in ((60, True), (5, False)):
        caplog.clear()
        groups: list[str | None] = [f"group {number // size}" for number in range(600)]
        divided(tmp_path / f"{size}", grouped(rows, groups), validation=0.3, test=0.3)
        assert any("groups, which is little evidence" in text for text in caplog.messages) == told


def test_near_duplicates_join_groups(tmp_path: Path) -> None:
    found = texts(300, seed=6)
    rows = [example("first", n, text) for n, text in enumerate([*found, *found])]
    groups = [f"own {n}" for n in range(300)] + [f"of ten {n // 10}" for n in range(300)]
    placed = sides(divided(tmp_path / "like", grouped(rows, groups), validation=0.02, test=0.02))
    tens = [{placed[f"firs{start + n:012x}"] for n in range(10)} for start in range(0, 300, 10)]
    assert all(len(ten) == 1 for ten in tens) and len(set.union(*tens)) > 1
    apart = sides(divided(tmp_path / "apart", grouped(rows, groups), near_duplicates=None))
    assert any(apart[f"firs{n:012x}"] != apart[f"firs{300 + n:012x}"] for n in range(300))


def test_long_texts_are_read_and_written_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [example("first", number, text) for number, text in enumerate(texts(130, seed=1))]
    monkeypatch.setattr(batches, "BATCH_BYTES", 5_000)
    artifact = divided(tmp_path, rows, validation=0.2, test=0.2)
    assert len(sides(artifact)) == 130
    with pq.ParquetFile(artifact.path / "train.parquet") as file:
        assert file.metadata.num_row_groups > 5


def test_a_leak_into_a_ready_made_test_split_is_found(tmp_path: Path) -> None:
    found = texts(40, seed=3)
    rows = [example("first", number, text) for number, text in enumerate(texts(60, seed=4))]
    rows += [example("second", number, text) for number, text in enumerate(found)]
    rows += [example("second", 100, found[7], "test"), example("second", 101, "other", "test")]
    with pytest.raises(BadData, match="1 records of train"):
        divided(tmp_path / "stop", rows)
    placed = sides(divided(tmp_path / "drop", rows, on_leak="drop"))
    assert f"seco{7:012x}" not in placed
    assert placed[f"seco{100:012x}"] == "test"
    assert len(placed) == len(rows) - 1


def test_a_record_of_test_in_validation_is_a_leak_too(tmp_path: Path) -> None:
    """The checkpoint would be chosen by rows of test."""
    rows = [example("first", number, text) for number, text in enumerate(texts(60, seed=4))]
    rows += [example("first", 100 + n, f"judged {n // 2}", JUDGING[n % 2]) for n in range(6)]
    rows += [example("first", 106, "validated", "validation")]
    with pytest.raises(BadData, match="found     3 records of validation that stand in another"):
        divided(tmp_path / "stop", rows)
    dropped = divided(tmp_path / "drop", rows, on_leak="drop")
    judged = {record: side for record, side in sides(dropped).items() if side != "train"}
    assert judged == {
        **{f"firs{100 + n:012x}": "test" for n in (1, 3, 5)},
        f"firs{106:012x}": "validation",
    }
    summary = json.loads((dropped.path / "summary.json").read_text())["first"]
    assert (summary["leaks"], summary["left_out"]) == (3, 3)
    kept = divided(tmp_path / "keep", rows, on_leak="keep")
    assert kept.rows == len(rows)


def test_groups_that_a_ready_made_split_tears_apart_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [example("first", number, text) for number, text in enumerate(texts(60, seed=4))]
    for number, row in enumerate(rows):
        row |= {"group_id": f"group {number % 30}", "split": "train"}
    whole = divided(tmp_path / "whole", rows)
    assert not json.loads((whole.path / "summary.json").read_text())["first"]["remarks"]
    rows[0]["split"] = rows[1]["split"] = rows[31]["split"] = rows[32]["split"] = "test"
    torn = divided(tmp_path / "torn", rows)
    [remark] = json.loads((torn.path / "summary.json").read_text())["first"]["remarks"]
    assert "2 of 30 groups are on several sides" in remark
    assert "2 records of validation or test are of these" in remark
    assert remark in caplog.text


def test_old_test_records_stay_in_test_when_data_are_added(tmp_path: Path) -> None:
    """Near-duplicates of old records among the new ones included."""
    old = texts(300, seed=5)
    rows = [example("first", number, text) for number, text in enumerate(old)]
    before = sides(divided(tmp_path / "before", rows))
    new = texts(300, seed=6) + [f"{text} again" for text in old[:100]]
    rows += [example("first", 1000 + number, text) for number, text in enumerate(new)]
    after = sides(divided(tmp_path / "after", rows))
    held_out = {record for record, side in before.items() if side == "test"}
    assert len(held_out) > 20
    assert {after[record] for record in held_out} == {"test"}
    moved = {record for record in before if after[record] != before[record]}
    assert moved and "train" not in {after[record] for record in moved}


def test_a_task_with_an_empty_side_is_told(tmp_path: Path) -> None:
    """A task of several, too: otherwise it would only be missed after the training."""
    alike = [f"{text} {number}" for text in texts(1, seed=7) for number in range(9)]
    rows = [example("first", number, text) for number, text in enumerate(texts(60, seed=8))]
    rows += [example("second", number, text) for number, text in enumerate(alike)]
    with pytest.raises(BadData, match="split: second\n") as caught:
        divided(tmp_path, rows)
    assert "near_duplicates: null" in str(caught.value)
    assert "first" not in str(caught.value)
