"""A file of rows is answered into another one, whatever happens on the way."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tasks.errors import BadData, BadInput
from tasks.tracking.batch import CHUNK, Done, Row, answer_file

REPOSITORY = Path(__file__).parents[2]
NUM_ROWS = 3 * CHUNK + 7
KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.tracking.batch import answer_file

left = int(sys.argv[3])

def answer(rows):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return [row["prompt"].upper() for row in rows]

answer_file(Path(sys.argv[1]), Path(sys.argv[2]), "m/1", answer, lambda done, total: None)
"""


def upper(rows: Sequence[Row]) -> list[str]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get("prompt"), str):
            raise BadInput(f"row {number}", "a prompt", "none")
    return [row["prompt"].upper() for row in rows]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    rows = [{"prompt": f"zeile \u00fc {number}", "n": number} for number in range(NUM_ROWS)]
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answered(source: Path, out: Path, of: str = "m/1") -> Done:
    return answer_file(source, out, of, upper, lambda done, total: None)


def test_a_killed_command_goes_on_where_it_was(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-c", KILLED, str(source), str(out)]
    for chunks in (2, 1):  # of the second attempt one more
        assert subprocess.run([*command, str(chunks)], cwd=REPOSITORY).returncode == -9
        assert not out.exists()
        partial = out.with_name("out.jsonl.partial")
        with partial.open("a", encoding="utf-8") as file:
            file.write('{"prompt": "half a li')
    assert answered(source, out) == Done(NUM_ROWS, 0, 3 * CHUNK)
    assert rows_of(out) == [
        {"prompt": f"zeile \u00fc {n}", "n": n, "completion": f"ZEILE \u00dc {n}"}
        for n in range(NUM_ROWS)
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_another_model_or_source_starts_anew(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-c", KILLED, str(source), str(out), "1"]
    assert subprocess.run(command, cwd=REPOSITORY).returncode == -9
    assert answered(source, out, of="m/2").resumed == 0
    assert subprocess.run(command, cwd=REPOSITORY).returncode == -9
    with source.open("a", encoding="utf-8") as file:
        file.write('{"prompt": "more"}\n')
    assert answered(source, out) == Done(NUM_ROWS + 1, 0, 0)


def test_rows_without_an_answer_are_kept_and_counted(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    first = '{"prompt": "a", "error": "an earlier one"}'
    source.write_text(f'{first}\n{{"text": "b", "completion": "B"}}\n{{"prompt": "c"}}\n')
    assert answered(source, out) == Done(3, 1, 0)
    assert rows_of(out) == [
        {"prompt": "a", "completion": "A"},
        {"text": "b", "error": "expected a prompt, found none"},
        {"prompt": "c", "completion": "C"},
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"prompt": "a"}\n[1]\n', r"in.jsonl:2\n.*a JSON object\n.*list"),
        ("prompt\n", r"in.jsonl:1\n"),
        ('{"prompt": "a"}\n{"prompt": "\u00fc"}\n', r"in.jsonl:2\n.*a JSON object\n.*utf-8"),
    ],
)
def test_a_file_of_something_else_is_refused(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(content, encoding="latin-1")
    with pytest.raises(BadData, match=said):
        answered(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(BadData, match="no such file"):
        answered(tmp_path / "none.jsonl", tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    ("out", "found"),
    [("in.jsonl", "the file of the rows"), (".", "a folder"), ("none/out.jsonl", "no folder")],
)
def test_answers_that_cannot_go_there_cost_no_rows(out: str, found: str, source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(BadInput, match=found):
        answered(source, source.parent / out)
    assert source.read_bytes() == before
    assert list(source.parent.iterdir()) == [source]
