"""What the tracking tests share."""

import json
from pathlib import Path

import pytest

TEMPLATES = [
    {"name": "gist", "heldout": False, "prompt": "Gist: {{ dialogue }}", "completion": "{{ x }}"},
    {"name": "short", "heldout": False, "prompt": "Short: {{ dialogue }}", "completion": "{{ x }}"},
]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """The stored templates of two tasks that share a slot."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    for task, templates in {"chat": TEMPLATES, "mail": TEMPLATES[::-1]}.items():
        content = {
            "name": "dialogue", "version": "1", "task": "summarization", "slots": ["dialogue"],
            "target": "x", "choices": [], "digest": "d", "templates": templates,
        }  # fmt: skip
        (folder / f"{task}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder
