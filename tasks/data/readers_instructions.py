"""Read tasks that are an instruction with many instances: one record per instance.

{"Definition": ["Say the opposite."], "Instances": [{"id": "t1-0", "input": "hot",
                                                     "output": ["cold", "cool"]}]}
->  {"instruction": "Say the opposite.", "input": "hot", "output": ["cold", "cool"]}

Super-NaturalInstructions (arXiv 2204.07705) has a task per file. Self-Instruct (arXiv 2212.10560)
has one per line, and calls the parts `instruction` and `instances`.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.data.readers_json import is_jsonl, items_at, keys_of, read_jsonl, value_at
from tasks.data.readers_rows import Row, Rows, Unreadable
from tasks.data.readers_text import open_text
from tasks.errors import BadData

_INSTRUCTION = ("Definition", "instruction")
_INSTANCES = ("Instances", "instances")
_EXPECTED = "a task: `Definition` and `Instances` (or `instruction` and `instances`)"


def read_instructions(path: Path, encoding: str) -> Rows:
    """Read the instances of the tasks in a file: one JSON object, or one per line.

    Args:
        path: The file.
        encoding: Character encoding.

    Raises:
        BadData: Not JSON, or a single object that is no task.
    """
    if is_jsonl(path, encoding):
        for number, row in read_jsonl(path, encoding):
            yield from [(number, row)] if isinstance(row, Unreadable) else _of_line(number, row)
    else:
        yield from _of_file(path, encoding)


def _of_line(number: int, task: Mapping[str, Any]) -> Iterator[Row]:
    instruction = _instruction(next((task[key] for key in _INSTRUCTION if key in task), None))
    instances = next((task[key] for key in _INSTANCES if key in task), None)
    if instruction is None or not isinstance(instances, list):
        yield number, Unreadable("no instruction with a list of instances", json.dumps(task))
    else:
        yield from ((number, _record(instruction, instance)) for instance in instances)


def _of_file(path: Path, encoding: str) -> Rows:
    with open_text(path, encoding, newline="\n") as file:
        text = file.read()
    positions = dict(keys_of(path, text))
    defined = next((positions[key] for key in _INSTRUCTION if key in positions), None)
    listed = next((positions[key] for key in _INSTANCES if key in positions), None)
    found = f"the keys {', '.join(list(positions)[:10])}" if positions else "no JSON object"
    if defined is None or listed is None:
        raise BadData(str(path), _EXPECTED, found, "set source.format to what it is")
    instruction = _instruction(value_at(path, text, defined)[0])
    if instruction is None or text[listed] != "[":
        expected = "an instruction that is text, and a list of instances"
        raise BadData(str(path), expected, "something else under these keys", "mend the file")
    for line, instance, _ in items_at(path, text, listed + 1):
        yield line, _record(instruction, instance)


def _instruction(definition: Any) -> str | None:
    """The definition, a text or a list of texts, as text; None where it is neither."""
    parts = [definition] if isinstance(definition, str) else definition
    if not isinstance(parts, list) or not parts or not all(isinstance(p, str) for p in parts):
        return None
    return "\n".join(parts)


def _record(instruction: str, instance: Any) -> dict[str, Any] | Unreadable:
    if not isinstance(instance, dict):
        return Unreadable("an instance that is not an object", json.dumps(instance))
    given = {key: instance[key] for key in ("input", "output") if key in instance}
    return {"instruction": instruction, **given}
