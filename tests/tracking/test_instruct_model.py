"""A version is logged, registered, loaded, and served where the repository is not."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.errors import BadModel
from tasks.tracking import registry
from tasks.tracking.package import Package, log_package, requirements, save_package
from tasks.tracking.run import open_run
from tasks.tracking.serving import complete, load, resolve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

DIALOGUE = "Ana : Lunch at one ? Bo : See you there ."
GENERATION = {
    "max_new_tokens": 5, "max_prompt_tokens": 64, "temperature": 0.0, "top_p": 1.0, "seed": 7,
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
    registry.set_alias(version, "challenger")
    assert complete(resolve("summarizer@challenger"), "meet you") == answers[2]
    with pytest.raises(BadModel, match="alias champion"):
        resolve("summarizer@champion")
    with pytest.raises(BadModel, match="MODEL@ALIAS"):
        resolve("summarizer")

    # The folder inside is a plain Hugging Face one, with the card.
    folder = Path(mlflow.artifacts.download_artifacts("models:/summarizer/1/artifacts/model"))
    assert (folder / "README.md").read_text(encoding="utf-8") == "# The card\n"
    assert answers_of_transformers(folder, prompts, 5) == answers


def test_a_decoder_answers_as_it_was_tested(
    home: Path, package: Package, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from tasks.config import Generation
    from tasks.scoring.generate import complete as completions_of
    from tasks.scoring.generate import load_generator
    from tasks.training.model import load_tokenizer

    folder = tmp_path / "chat"
    shutil.copytree(tiny_models["llama"], folder)
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = "{% for turn in messages %}<{{ turn.content }}>{% endfor %}"
    tokenizer.save_pretrained(folder)
    model = load(registered(replace(package, model=folder), tmp_path / "ws"))
    prompts = ["Say red", "meet you at two"]
    tested = completions_of(load_generator(folder), prompts, Generation(max_new_tokens=5), 32)
    answers = model.predict(pd.DataFrame({"prompt": prompts}))
    assert answers == [completion.text for completion in tested]
    assert [completion.num_prompt_tokens for completion in tested] == [
        len(tokenizer(f"<{prompt}><", add_special_tokens=False)["input_ids"]) for prompt in prompts
    ]


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


def test_limits_are_told(home: Path, package: Package, tmp_path: Path) -> None:
    import mlflow

    saved = save_package(package, tmp_path / "scratch", "m-1", "r", "here")
    model = mlflow.pyfunc.load_model(str(saved))
    for rows, params, said in LIMITS:
        with pytest.raises(Exception, match=said):
            model.predict(pd.DataFrame(rows), params=params)


LIMITS: list[tuple[list[dict[str, str]], dict[str, Any], str]] = [
    ([{"text": "a"}], {}, r"rows\n.*columns of a template, or a column prompt\n.*neither"),
    ([{"prompt": "a"}] * 1001, {}, r"rows\n.*at most 1000 in one call\n.*1001"),
    ([{"prompt": "a"}, {"prompt": "meet you " * 64}], {}, r"row 2\n.*at most 64 tokens\n.*tokens"),
    ([{"prompt": "a" * 4000}], {}, r"row 1\n.*at most 64 tokens\n.*4000 characters"),
    ([{"prompt": "a"}], {"max_new_tokens": 1025}, r"params.max_new_tokens\n.*at most 1024"),
    ([{"prompt": "a"}], {"temperature": -1.0}, r"params.temperature\n.*greater than or equal to 0"),
    ([{"prompt": "a"}], {"top_p": 1.5}, r"params.top_p\n.*less than or equal to 1"),
]


def test_the_champion_is_served_without_the_repository(
    home: Path, package: Package, tmp_path: Path
) -> None:
    registry.set_alias(registered(package, tmp_path / "ws"), "champion")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with served("models:/summarizer@champion", elsewhere) as invoke:
        records = [{"task": "chat", "dialogue": DIALOGUE}, {"prompt": "meet you"}]
        status, reply = invoke({"dataframe_records": records, "params": {"max_new_tokens": 3}})
        prompts = [f"Gist: {DIALOGUE}", "meet you"]
        expected = answers_of_transformers(package.model, prompts, 3)
        assert (status, reply) == (200, {"predictions": expected})

        hot = {"temperature": 9.0, "seed": 3}
        sampled = [
            invoke({"dataframe_records": records, "params": {**hot, "seed": seed}})[1]
            for seed in (3, 3, 4)
        ]
        assert sampled[0] == sampled[1] != sampled[2]
        for rows, params, said in LIMITS:
            status, reply = invoke({"dataframe_records": rows, "params": params})
            assert status == 400
            assert re.search(said, reply["message"]), reply["message"]
            assert "Traceback" not in str(reply)

        # Requests at the same time share a batch, and get their own answers.
        def ask(number: int) -> tuple[int, Any]:
            return invoke({"dataframe_records": [{"prompt": f"meet {number}"}]})

        with ThreadPoolExecutor(8) as threads:
            replies = list(threads.map(ask, range(8)))
        answers = answers_of_transformers(package.model, [f"meet {n}" for n in range(8)], 5)
        assert replies == [(200, {"predictions": [answer]}) for answer in answers]


Invoke = Callable[[Any], tuple[int, Any]]


@contextmanager
def served(uri: str, folder: Path) -> Iterator[Invoke]:
    """`mlflow models serve` in a process that knows nothing of this repository."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    environment["MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_TRACKING_URI"]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield partial(_post, f"http://127.0.0.1:{port}/invocations", server)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _post(url: str, server: "subprocess.Popen[bytes]", body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(request, timeout=180) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not answer"
            time.sleep(0.3)


def test_a_model_of_word_pieces_needs_what_reads_them(tmp_path: Path) -> None:
    (tmp_path / "source.spm").touch()
    assert any(line.startswith("sentencepiece==") for line in requirements(tmp_path))
    (tmp_path / "tokenizer.json").touch()
    assert not any(line.startswith("sentencepiece") for line in requirements(tmp_path))
