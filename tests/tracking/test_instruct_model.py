"""A version is logged, registered, loaded, and served where the repository is not."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.errors import BadModel
from tasks.tracking import registry
from tasks.tracking.package import Package, log_package, save_package
from tasks.tracking.run import open_run
from tasks.tracking.serving import complete, load, resolve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

DIALOGUE = "Ana : Lunch at one ? Bo : See you there ."
GENERATION = {
    "max_new_tokens": 5, "max_prompt_tokens": 32, "temperature": 0.0, "top_p": 1.0, "seed": 7,
}  # fmt: skip


@pytest.fixture
def package(tiny_models: dict[str, Path], prompts: Path) -> Package:
    example = {"task": "chat", "dialogue": DIALOGUE}
    return Package(tiny_models["t5"], prompts, "# The card\n", GENERATION, example)


def answers_of_transformers(folder: Path, prompts: list[str], max_new_tokens: int) -> list[str]:
    """What plain transformers answers, one prompt at a time."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    answers = []
    for prompt in prompts:
        encoded = tokenizer(prompt, return_tensors="pt")
        output = model.generate(
            input_ids=encoded["input_ids"], max_new_tokens=max_new_tokens, do_sample=False
        )
        answers.append(tokenizer.decode(output[0], skip_special_tokens=True).strip())
    return answers


def registered(package: Package, workspace: Path) -> registry.Version:
    run_id = open_run(workspace, "chat", "k", {}, {})
    model_id = log_package(package, run_id, "key", workspace / "scratch")
    return registry.register("summarizer", model_id, run_id, "key", {"retune.a": "b"})


def test_a_registered_version_answers_as_transformers_does(
    home: Path, package: Package, tmp_path: Path
) -> None:
    import mlflow

    version = registered(package, tmp_path / "ws")
    assert (version.version, version.tags["retune.a"]) == ("1", "b")
    assert not (tmp_path / "ws" / "scratch").exists()

    model = load(version)
    records = pd.DataFrame(
        [
            {"task": "chat", "dialogue": DIALOGUE},
            {"task": "mail", "dialogue": "Bo : two ?"},
            {"prompt": "meet you"},
        ]
    )
    prompts = [f"Gist: {DIALOGUE}", "Short: Bo : two ?", "meet you"]
    answers = model.predict(records)
    assert answers == answers_of_transformers(package.model, prompts, 5)
    assert len(set(answers)) > 1

    # Parameters: another template, another length, seeded sampling.
    chat = records.iloc[[0]]
    short = answers_of_transformers(package.model, [f"Short: {DIALOGUE}"], 2)
    assert model.predict(chat, params={"template": "short", "max_new_tokens": 2}) == short
    sampled = [
        model.predict(records, params={"temperature": 9.0, "seed": seed, "top_p": 0.9})
        for seed in (1, 1, 5)
    ]
    assert sampled[0] == sampled[1] != sampled[2]

    # By name, with a ready prompt.
    registry.challenge(version)
    assert complete("summarizer@challenger", "meet you") == answers[2]
    with pytest.raises(BadModel, match="alias champion"):
        resolve("summarizer@champion")
    with pytest.raises(BadModel, match="MODEL@ALIAS"):
        resolve("summarizer")

    # The folder inside is a plain Hugging Face one, with the card.
    folder = Path(mlflow.artifacts.download_artifacts("models:/summarizer/1/artifacts/model"))
    assert (folder / "README.md").read_text(encoding="utf-8") == "# The card\n"
    assert answers_of_transformers(folder, prompts, 5) == answers


def test_unusable_rows_are_named(home: Path, package: Package, tmp_path: Path) -> None:
    import mlflow

    saved = save_package(package, tmp_path / "scratch", "m-1", "r", "here")
    model = mlflow.pyfunc.load_model(str(saved))
    with pytest.raises(Exception, match=r"row 1\n.*chat, mail.*\n.*no column task"):
        model.predict(pd.DataFrame([{"dialogue": "Bo"}]))
    with pytest.raises(Exception, match=r"row 1\n.*dialogue.*\n.*'dialogue' is missing"):
        model.predict(pd.DataFrame([{"task": "chat"}]))
    with pytest.raises(Exception, match=r"one of gist, short\n.*'long'"):
        model.predict(
            pd.DataFrame([{"task": "chat", "dialogue": "Bo"}]), params={"template": "long"}
        )


def test_logging_twice_keeps_one_model(home: Path, package: Package, tmp_path: Path) -> None:
    run_id = open_run(tmp_path / "ws", "chat", "k", {}, {})
    first = log_package(package, run_id, "key", tmp_path / "scratch")
    assert log_package(package, run_id, "key", tmp_path / "scratch") == first
    assert log_package(package, run_id, "other key", tmp_path / "scratch") != first
    # Files that were lost are logged again.
    [lost] = (home / "mlartifacts").rglob(f"{first}/artifacts/MLmodel")
    lost.unlink()
    assert log_package(package, run_id, "key", tmp_path / "scratch") == first
    assert lost.exists()


def test_a_version_is_served_without_the_repository(
    home: Path, package: Package, tmp_path: Path
) -> None:
    saved = save_package(package, tmp_path / "scratch", "m-1", "r", "here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(elsewhere), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(saved)]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=elsewhere,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        records = [{"task": "chat", "dialogue": DIALOGUE}]
        body = {"dataframe_records": records, "params": {"max_new_tokens": 3}}
        reply = _post(f"http://127.0.0.1:{port}/invocations", body, server)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    expected = answers_of_transformers(package.model, [f"Gist: {DIALOGUE}"], 3)
    assert reply == {"predictions": expected}


def _post(url: str, body: Any, server: "subprocess.Popen[bytes]") -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(request, timeout=180) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        except OSError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not answer"
            time.sleep(0.3)
