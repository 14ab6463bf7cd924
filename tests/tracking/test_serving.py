"""`retune ask`: a registered version beside its base model, and a file of rows."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.config import Generation
from tasks.errors import BadModel
from tasks.tracking.serving import complete, complete_by_base, resolve
from tests.registering import pipeline, registered
from tests.tracking.test_instruct_model import answers_of_transformers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

REPOSITORY = Path(__file__).parents[2]
ASK = [sys.executable, "-c", "from flows.cli import main; main()", "ask", "summarizer@champion"]


def test_the_base_model_is_asked_as_it_was_tested(
    home: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from tasks.scoring.generate import complete as completions_of
    from tasks.scoring.generate import load_generator

    base = tmp_path / "chat"
    shutil.copytree(tiny_models["llama"], base)
    (base / "chat_template.jinja").write_text(
        "{% for turn in messages %}<{{ turn.content }}>{% endfor %}"
    )
    base_model = {"path": str(base), "chat_template": "none"}
    told = {"base_model": base_model, "generation": {"max_new_tokens": 4}}
    registered(pipeline(home / "workspaces" / "chat", model=base), **told)
    plain, chat = (
        completions_of(
            load_generator(base, chat_template=used), ["meet you"], Generation(max_new_tokens=4), 9
        )[0].text
        for used in ("none", "auto")
    )
    found = complete_by_base(resolve("summarizer@champion"), "meet you", tmp_path)
    assert found == plain != chat


def test_beside_the_base_model_and_on_a_file(
    home: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    base = tiny_models["t5"]
    changes = {"base_model": {"path": str(base)}, "generation": {"max_new_tokens": 4}}
    registered(pipeline(home / "workspaces" / "chat", model=base), **changes)
    version = resolve("summarizer@champion")
    prompts = ["meet you", "Gist two ?"]
    expected = answers_of_transformers(base, prompts, 4)
    assert complete(version, prompts[0]) == expected[0]
    assert complete_by_base(version, prompts[0], tmp_path) == expected[0]

    rows = [{"prompt": prompts[0]}, {"d": "two ?"}, {"e": 1}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["--file", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.jsonl")]
    done = subprocess.run(
        [*ASK, *files, "--json"], cwd=REPOSITORY, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["model"], said["version"], said["out"]) == ("summarizer", "1", files[3])
    assert (said["rows"], said["errors"], said["resumed"]) == (3, 1, 0)
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    first, second, third = map(json.loads, lines)
    assert [first["completion"], second["completion"]] == expected
    assert "column prompt" in third["error"]

    (base / "README.md").write_text("changed")
    try:
        with pytest.raises(BadModel, match="the base model that summarizer/1 was made from"):
            complete_by_base(version, "meet you", tmp_path)
    finally:
        (base / "README.md").unlink()
