import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Source
from tasks.data.readers import Unreadable, format_of, read_rows
from tasks.errors import BadData

TASK = {
    "Contributors": ["Anna Lee"],
    "Definition": ["Say the opposite."],
    "Input_language": ["English"],
    "Positive Examples": [{"input": "wet", "output": "dry", "explanation": "Opposites."}],
    "Instances": [
        {"id": "task1-a", "input": "hot", "output": ["cold", "cool"]},
        {"id": "task1-b", "input": "Größe [", "output": ["}"]},
    ],
    "Instance License": ["MIT"],
}
RECORDS = [
    {"instruction": "Say the opposite.", "input": "hot", "output": ["cold", "cool"]},
    {"instruction": "Say the opposite.", "input": "Größe [", "output": ["}"]},
]
SEED = {"id": "s0", "instruction": "Count.", "instances": [{"input": "", "output": "1 2 3"}]}


def read(path: Path, **settings: Any) -> list[tuple[int, Any]]:
    source = Source(path=str(path), format="natural_instructions", **settings)
    return list(read_rows(path, format_of(path, source), source))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("indented.json", json.dumps(TASK, indent=4).encode()),
        ("one_line.json", json.dumps(TASK).encode()),
        ("last_newline.json", json.dumps(TASK).encode() + b"\n"),
        ("bom.json", json.dumps(TASK, ensure_ascii=False).encode("utf-8-sig")),
        ("zipped.json.gz", gzip.compress(json.dumps(TASK).encode())),
        ("text.json", json.dumps({**TASK, "Definition": "Say the opposite."}).encode()),
        ("last.json", json.dumps(dict(reversed(TASK.items()))).encode()),
    ],
)
def test_a_task_gives_a_record_per_instance(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert [row for _, row in read(tmp_path / name)] == RECORDS


def test_instances_know_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"Definition": ["a",\n "b"], "Instances": [\n{"input": "c"},\n\n7]}')
    assert read(path) == [
        (3, {"instruction": "a\nb", "input": "c"}),
        (5, Unreadable("an instance that is not an object", "7")),
    ]


def test_a_task_per_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines: list[Any] = [SEED, TASK, {"instruction": "x"}, {"Definition": [], "Instances": []}]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n{]\n")
    rows = read(path)
    assert rows[:3] == [
        (1, {"instruction": "Count.", "input": "", "output": "1 2 3"}),
        *((2, record) for record in RECORDS),
    ]
    reason = "no instruction with a list of instances"
    assert rows[3] == (3, Unreadable(reason, '{"instruction": "x"}'))
    assert rows[4] == (4, Unreadable(reason, '{"Definition": [], "Instances": []}'))
    assert rows[5][0] == 5 and rows[5][1].reason.startswith("not JSON")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ('{"rows": []}', "found +the keys rows"),
        ("[1]", "found +no JSON object"),
        ('{"Definition": ["a"]}', "a task: `Definition` and `Instances`"),
        ('{"Definition": [1], "Instances": []}', "an instruction that is text"),
        ('{"Definition": "a", "Instances": {}}', "a list of instances"),
        ('{"Definition": "a", "Instances": [{]}', r"a\.json:1\n.*JSON"),
        ('{\n"Definition": a', r"a\.json:2\n.*JSON"),
    ],
)
def test_a_file_that_is_no_task_is_told(content: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(BadData, match=part):
        read(path)


def test_the_format_is_proposed_for_a_task_that_is_read_as_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(TASK, indent=1))
    source = Source(path=str(path))
    with pytest.raises(BadData, match=r"source\.format: natural_instructions"):
        list(read_rows(path, format_of(path, source), source))
