"""The command as a user calls it: exit codes, streams, and what it must not import."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from flows.temporary_server import SERVER_BYTES
from tasks.lock import workspace_lock

REPOSITORY = Path(__file__).parents[1]
RETUNE = [sys.executable, "-c", "from flows.cli import main; main()"]

RECIPE = """\
name: talk
base_model: {path: models/pocket-flan}
tasks: [{name: talk, source: {path: data/support_chat.jsonl}, prompts: dialogue_summary}]
registry: {model: talker}
"""


def retune(
    home: Path, *arguments: str, program: list[str] = RETUNE, stdout=subprocess.PIPE, **variables
):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "MLFLOW_"))
    }
    return subprocess.run(
        [*program, *arguments],
        cwd=REPOSITORY, env=environment | variables | {"RETUNE_HOME": str(home)},
        stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "talk.yaml"
    path.write_text(RECIPE)
    return path


def test_h_is_help(tmp_path):
    assert "--require-promotion" in retune(tmp_path, "run", "-h").stdout


def test_it_tells_its_version(tmp_path):
    assert retune(tmp_path, "--version").stdout == f"retune {version('retune')}\n"


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_missing_recipe_is_bad_input(command, tmp_path, recipe):
    done = retune(tmp_path / "home", command, str(tmp_path / "tak.yaml"), "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "no such file" in done.stderr
    assert f"try {recipe}" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_prompt_is_bad_input(tmp_path):
    done = retune(tmp_path / "home", "ask", "summarizer@champion", " ", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected  a prompt" in done.stderr


def test_every_issue_of_a_bad_recipe_is_told_at_once(tmp_path, recipe):
    recipe.write_text(RECIPE + "train: {epochs: many, learning_rat: 1}\n")
    done = retune(tmp_path / "home", "run", str(recipe))
    assert done.returncode == 2
    assert f"{recipe}:5: train.epochs" in done.stderr
    assert "did you mean `learning_rate`?" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_override_is_bad_input(tmp_path, recipe):
    done = retune(tmp_path / "home", "run", str(recipe), "--set", "train.epoch=1")
    assert done.returncode == 2
    assert "did you mean `epochs`?" in done.stderr


def test_a_workspace_that_is_held_is_bad_input(tmp_path, recipe):
    home = tmp_path / "home"
    with workspace_lock(home / "workspaces" / "talk"):
        done = retune(home, "run", str(recipe))
    assert done.returncode == 2
    assert f"held by process {os.getpid()}" in done.stderr
    assert not (home / "prefect" / "server.log").exists()  # no server was started for this


@pytest.mark.parametrize("command", ["run", "retrain", "compare"])
@pytest.mark.parametrize("key", ["tasks.0.source.path", "base_model.path"])
def test_a_missing_file_is_told_before_a_server_starts(command, key, tmp_path, recipe):
    home = tmp_path / "home"
    done = retune(home, command, str(recipe), "--set", f"{key}=data/nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("data/nowhere\n") and "mend " in done.stderr
    assert not (home / "prefect" / "server.log").exists()


def test_an_unknown_model_is_told_before_a_server_starts(tmp_path):
    home = tmp_path / "home"
    done = retune(home, "promote", "nobody")
    assert done.returncode == 2
    assert "nobody\n  expected  a model with a challenger" in done.stderr
    assert not (home / "prefect" / "server.log").exists()


def test_a_password_in_an_override_is_refused_before_prefect_keeps_it(tmp_path, recipe):
    home = tmp_path / "home"
    source = '{repo: "https://bob:planted-7d21@example.org/r", path: x}'
    done = retune(home, "retrain", str(recipe), "--set", f"tasks.0.source.dvc={source}")
    assert done.returncode == 2
    assert "planted-7d21" not in done.stderr
    assert not (home / "prefect" / "server.log").exists()  # no server was started for this


def test_an_unexpected_error_leaves_its_traceback_in_a_file(tmp_path, recipe):
    home = tmp_path / "home"
    home.mkdir()
    (home / "mlflow.db").mkdir()
    impatient = "import mlflow.store.db.utils as utils; utils.MAX_RETRY_COUNT = 1"  # else 102 s
    program = [sys.executable, "-c", f"{impatient}; {RETUNE[2]}"]
    done = retune(home, "models", "--json", program=program)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"The traceback is in {home / 'last-error.log'}" in done.stderr
    assert "Traceback (most recent call last)" in (home / "last-error.log").read_text()


NOWHERE = "http://127.0.0.1:1"


def test_who_lists_models_is_told_at_once_of_a_server_that_is_away(tmp_path):
    done = retune(tmp_path, "models", MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no answer" in done.stderr
    assert "trying again" not in done.stderr


@pytest.mark.parametrize(
    ("variables", "state", "found"),
    [
        ({}, "ok", "HOME"),
        ({"PREFECT_API_URL": f"{NOWHERE}/api", "MLFLOW_TRACKING_URI": NOWHERE}, "bad", NOWHERE),
    ],
    ids=["embedded", "servers that are away"],
)
def test_doctor_prints_one_json_document(tmp_path, variables, state, found):
    home = tmp_path / "home"
    (home / "workspaces" / "toy").mkdir(parents=True)
    done = retune(home, "doctor", "--json", **variables)
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == (1 if variables else 0), done.stderr
    assert checks["python"]["found"].startswith(f"{sys.version_info.major}.")
    assert checks["state"]["found"] == f"{home}, workspaces: 1"
    for name in ("mlflow", "prefect"):
        assert checks[name]["state"] == state
        assert found.replace("HOME", str(home)) in checks[name]["found"]
    assert {"memory", "bf16", "gpu", "git", "dvc"} <= set(checks)


@pytest.mark.parametrize(
    ("variables", "server_bytes"),
    [({}, SERVER_BYTES), ({"PREFECT_API_URL": f"{NOWHERE}/api"}, 0)],
    ids=["embedded", "a server that runs already"],
)
def test_a_plan_counts_the_server_that_a_run_would_start(variables, server_bytes, tmp_path, recipe):
    stub = "import tasks.plan; tasks.plan.plan = lambda *given: exit(f'server_bytes {given[2]}')"
    program = [sys.executable, "-c", f"{stub}; {RETUNE[2]}"]
    done = retune(tmp_path / "home", "plan", str(recipe), program=program, **variables)
    assert done.stderr == f"server_bytes {server_bytes}\n"


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [(["--help"], ["prefect", "mlflow", "torch", "pydantic"]), (["plan"], ["prefect", "torch"])],
)
def test_commands_import_only_what_they_need(arguments, unwanted, tmp_path, recipe):
    found = f"print([m for m in {unwanted!r} if m in sys.modules], file=sys.stderr)"
    program = [
        sys.executable, "-c",
        f"import atexit, sys; atexit.register(lambda: {found})\n"
        "from flows.cli import main; main()",
    ]  # fmt: skip
    if arguments == ["plan"]:
        arguments = ["plan", str(recipe)]
    done = retune(tmp_path / "home", *arguments, program=program)
    assert done.stderr.splitlines()[-1] == "[]"


def test_what_the_encoding_of_the_output_lacks_is_escaped(tmp_path):
    script = (
        "from flows.command import print_json, print_text;"
        " print_text('\u9000 \U0001f600'); print_json(['\U0001f600'])"
    )
    program = [sys.executable, "-c", script]
    done = retune(tmp_path, program=program, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    told, _, document = done.stdout.partition("\n")
    assert told == r"\u9000 \U0001f600"
    assert json.loads(document) == ["\U0001f600"]


@pytest.mark.parametrize("printing", ["print_text", "print_tables"])
def test_a_reader_that_has_left_is_no_error(printing, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    code = f"from flows.command import *; {printing}('text'); print('Went on.', file=sys.stderr)"
    with os.fdopen(writing, "w") as nobody:
        done = retune(tmp_path, program=[sys.executable, "-c", code], stdout=nobody)
    assert (done.returncode, done.stderr) == (0, "Went on.\n")
