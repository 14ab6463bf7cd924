"""The pipeline as a company runs it: `retune run` in processes of its own, killed now and then."""

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from tasks.tracking.run import RunFile, read_run
from tests.integration.conftest import (
    EPOCHS,
    SECRET,
    Command,
    Company,
    Ended,
    chats,
    processes_of,
    retune,
    write_rows,
)
from tests.toy import STAGES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own code
    pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning"),  # of MLflow's own code
]

MODEL = "clerk-chats"
SUMMARY = {"rougeL", "rouge1", "rouge2", "fabrication", "omission"}
INTERVAL = {"value", "low", "high", "n"}
GONE_AFTER_S = 30.0
SEED = 11
TEST_AND_AFTER = ["reused"] * 5 + ["ran", "reused", "ran"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the runs that nobody disturbs."""
    return tmp_path_factory.mktemp("undisturbed") / "home"


@pytest.fixture(scope="module")
def first(company: Company, home: Path) -> Ended:
    return timed("first run", retune(home, "run", str(company.recipe), "--json"))


@pytest.fixture(scope="module")
def again(company: Company, home: Path, first: Ended) -> Ended:
    return timed("second run", retune(home, "run", str(company.recipe), "--json"))


@pytest.fixture(scope="module")
def refused(company: Company, home: Path, again: Ended) -> Ended:
    """With another few-shot prompt, and a gain demanded that no model has."""
    changes = ["--set", "test.few_shot_examples=2", "--set", "registry.min_gain=0.99"]
    arguments = [str(company.recipe), *changes, "--require-promotion", "--json"]
    return timed("test and register", retune(home, "run", *arguments))


@pytest.fixture(scope="module")
def survivor(company: Company, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A run of two tasks whose training process is killed once, in the middle."""
    command = Command(tmp_path_factory.mktemp("survivor") / "home", "run", str(company.two_tasks),
                      "--json")  # fmt: skip
    command.wait_for(lambda: checkpoints(command.home, "both"))
    [training] = processes_of(command.home, "tasks.training")
    training.kill()
    return timed("two tasks, training killed once", command.end())


def test_a_run_prints_one_document_of_the_contract(first: Ended) -> None:
    assert first.returncode == 0, first.log
    result = first.result
    assert set(result) == {
        *("recipe", "model", "version", "run_id", "stages", "validation", "test"),
        *("forgetting", "decision", "report"),
    }
    assert (result["recipe"], result["model"], result["version"]) == ("chats", MODEL, "1")
    assert list(result["stages"]) == list(STAGES)
    assert first.states == ["ran"] * 8
    for stage in result["stages"].values():
        assert set(stage) == {"state", "seconds", "digest"}
        assert stage["seconds"] > 0
        assert len(stage["digest"]) == 64
    assert {"base", "one_shot", "few_shot", "few_shot_5", "tuned"} == set(result["test"])
    for metrics in (result["validation"], *result["test"].values()):
        assert set(metrics) == SUMMARY
        for entry in metrics.values():
            assert set(entry) == INTERVAL
            assert 0 <= entry["low"] <= entry["value"] <= entry["high"] <= 1
            assert entry["n"] > 5
    assert result["test"]["tuned"]["rougeL"]["low"] > result["test"]["base"]["rougeL"]["high"]
    assert set(result["forgetting"]) == {"counting"}
    assert set(result["forgetting"]["counting"]) == {"before", "after", "delta", "low", "high"}
    assert set(result["decision"]) == {"promote", "reasons"}
    assert result["decision"]["promote"] is True
    assert "rougeL rose" in result["decision"]["reasons"][0]
    assert "rougeL" in Path(result["report"]).read_text(encoding="utf-8")
    assert "Traceback" not in first.log
    warnings = [line for line in first.log.splitlines() if "warning" in line]
    # No worked example fits beside these prompts, and that is said of each way that wants some.
    assert ["shot" in line and "fewer than" in line for line in warnings] == [True] * 3


def test_mlflow_has_all_of_the_run(first: Ended, home: Path, company: Company) -> None:
    client = client_of(home)
    run = client.get_run(first.result["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == str(EPOCHS)
    assert run.data.params["tasks.0.source.path"] == str(company.chats)

    losses = client.get_metric_history(run.info.run_id, "train/loss")
    steps = num_steps(home)
    assert [loss.step for loss in losses] == list(range(1, steps + 1))
    assert losses[-1].value < 0.5 * losses[0].value
    validation = client.get_metric_history(run.info.run_id, "train/epoch_validation_loss")
    assert [loss.step for loss in validation] == [steps * epoch // EPOCHS for epoch in (1, 2, 3, 4)]
    assert any(name.startswith("system/cpu") for name in run.data.metrics)
    tuned = first.result["test"]["tuned"]["rougeL"]["value"]
    assert run.data.metrics["test/tuned/rougeL"] == tuned

    used = {data.dataset.name: data for data in run.inputs.dataset_inputs}
    assert set(used) == {"chats/train", "chats/validation", "chats/test"}
    rows = pq.read_metadata(home / "workspaces" / "chats" / "split" / "train.parquet").num_rows
    assert json.loads(used["chats/train"].dataset.profile) == {"num_rows": rows}

    stages = first.result["stages"]
    for tags in (run.data.tags, client.get_model_version(MODEL, "1").tags):
        assert tags["retune.data_digest"] == stages["ingest"]["digest"]
        assert tags["retune.train_digest"] == stages["train"]["digest"]
        assert {"retune.recipe_digest", "retune.base_model_digest", "retune.packages"} <= set(tags)
    assert run.data.tags["prefect.flow_run_id"] == tags["retune.prefect_flow_run_id"]
    assert {"report.html", "test", "validate"} <= {
        file.path for file in client.list_artifacts(run.info.run_id)
    }


def test_every_test_record_has_its_answers(first: Ended, home: Path) -> None:
    workspace = home / "workspaces" / "chats"
    asked = pq.read_table(workspace / "split" / "test.parquet").to_pylist()
    lines = (workspace / "test" / "predictions.jsonl").read_text("utf-8").splitlines()
    answered = [json.loads(line) for line in lines]
    assert len(asked) > 5
    for name in ("id", "prompt", "references"):
        assert [row[name] for row in answered] == [row[name] for row in asked]
    for row in answered:
        assert {name: type(text) for name, text in row["completions"].items()} == {
            "base": str, "one_shot": str, "few_shot": str, "few_shot_5": str, "tuned": str,
        }  # fmt: skip
    assert sum(row["completions"]["tuned"].startswith("The ") for row in answered) > 5
    mean = sum(row["scores"]["tuned"]["rougeL"] for row in answered) / len(answered)
    assert mean == pytest.approx(first.result["test"]["tuned"]["rougeL"]["value"], abs=1e-5)
    client, run_id = client_of(home), first.result["run_id"]
    [folder] = client.list_artifacts(run_id, "test")
    logged = Path(client.download_artifacts(run_id, f"{folder.path}/predictions.jsonl"))
    assert logged.read_text("utf-8").splitlines() == lines


def test_the_version_answers_in_mlflow_and_in_transformers(
    first: Ended, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}/1")
    kept = mlflow.artifacts.download_artifacts(f"models:/{MODEL}/1", dst_path=str(tmp_path))
    row = chats(1)[0]
    [of_record] = model.predict(pd.DataFrame([{"dialogue": row["dialogue"]}]))
    prompt = f"Summarize the following conversation.\n\n{row['dialogue']}"
    [of_prompt] = model.predict(pd.DataFrame([{"prompt": prompt}]))
    assert of_record == of_prompt == answer_of_transformers(Path(kept), prompt)
    assert of_record.startswith("The ")


def test_no_secret_of_the_environment_is_kept(first: Ended, home: Path) -> None:
    assert SECRET not in first.log + first.stdout
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {"mlflow.db", "prefect.db", "report.html"} <= {path.name for path in files}
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_nothing_is_done_twice(first: Ended, again: Ended, home: Path) -> None:
    assert again.returncode == 0, again.log
    assert again.states == ["reused"] * 8
    assert without_states(again.result) == without_states(first.result)
    assert versions_of(home) == ["1"]
    assert again.seconds < first.seconds


def test_the_same_data_elsewhere_is_the_same(company: Company, home: Path, again: Ended) -> None:
    moved = company.folder / "moved" / "talks.jsonl"
    moved.parent.mkdir()
    moved.write_bytes(company.chats.read_bytes())
    assert decisions(home, company.recipe) == ["reuse"] * 8
    recipe = company.folder / "moved" / "chats.yaml"
    shutil.copytree(company.folder / "base", moved.with_name("model"))
    told = company.recipe.read_text().replace(str(company.chats), str(moved))
    recipe.write_text(told.replace(str(company.folder / "base"), str(moved.with_name("model"))))
    assert decisions(home, recipe) == ["reuse"] * 8

    write_rows(moved, [*chats(119), {"dialogue": "Guest: Hello.", "summary": "A guest is there."}])
    assert decisions(home, recipe) == ["run"] * 8
    assert decisions(home, company.recipe, "test.resamples=2000") == ["reuse"] * 4 + ["run"] * 4


def test_a_model_that_is_refused_is_registered_all_the_same(refused: Ended, home: Path) -> None:
    assert refused.returncode == 3, refused.log
    assert "clerk-chats version 2 is not to be promoted" in refused.log
    assert refused.states == TEST_AND_AFTER
    assert refused.result["decision"]["promote"] is False
    client = client_of(home)
    assert str(client.get_model_version_by_alias(MODEL, "challenger").version) == "2"
    assert str(client.get_model_version_by_alias(MODEL, "champion").version) == "1"
    assert client.get_run(refused.result["run_id"]).info.status == "FINISHED"


def test_other_data_start_from_the_beginning(company: Company, home: Path, refused: Ended) -> None:
    rows = write_rows(company.folder / "more.jsonl", chats(130))
    recipe = company.folder / "more.yaml"
    recipe.write_text(company.recipe.read_text().replace(str(company.chats), str(rows)))
    command = Command(home, "run", str(recipe), "--json")
    command.wait_for(lambda: "train: started" in command.log)
    command.kill()
    assert "chats: 130 records of 130 rows" in command.log
    assert "reused" not in command.log
    assert_all_gone(home)


def test_a_bad_recipe_is_refused_at_once(company: Company, tmp_path: Path) -> None:
    recipe = tmp_path / "bad.yaml"
    recipe.write_text(company.recipe.read_text().replace("epochs:", "epoch:"))
    bad = retune(tmp_path / "home", "run", str(recipe), "--json")
    assert bad.returncode == 2
    assert bad.stdout == ""
    assert "did you mean `epochs`?" in bad.log and "Traceback" not in bad.log


def test_a_killed_run_goes_on_where_it_was(company: Company, first: Ended, tmp_path: Path) -> None:
    home, draw = tmp_path / "home", random.Random(SEED)
    register = home / "workspaces" / "chats" / "register" / "manifest.json"
    moments: list[tuple[Callable[[Command], Any], float]] = [
        (lambda command: processes_of(home, "tasks.training"), 1.0),
        (lambda command: checkpoints(home, "chats"), 0.5),
        (lambda command: "test: started" in command.log, 5.0),
        (lambda command: "register: started" in command.log, 0.3),
        (lambda command: register.exists(), 0.0),  # all is made, but MLflow is only being told
    ]
    runs: list[RunFile] = []
    for number, (moment, longest_wait_s) in enumerate(moments):
        command = Command(home, "run", str(company.recipe), "--json")
        command.wait_for(lambda moment=moment, command=command: moment(command))
        time.sleep(draw.uniform(0, longest_wait_s))
        assert command.process.poll() is None, command.log
        command.kill()
        assert_all_gone(home)
        known = read_run(home / "workspaces" / "chats")
        assert known and (not known.finished or register.exists()), number
        runs.append(known)
        assert register.exists() or command.output_file.read_text() == ""

    last = timed("last of six attempts", retune(home, "run", str(company.recipe), "--json"))
    assert last.returncode == 0, last.log
    assert {run.run_id for run in runs} == {last.result["run_id"]}
    assert client_of(home).get_run(last.result["run_id"]).info.status == "FINISHED"
    assert versions_of(home) == ["1"]
    assert last.states == ["reused"] * 8
    assert digests(last) == digests(first)
    aliases = client_of(home).get_model_version(MODEL, "1").aliases
    assert sorted(aliases) == ["challenger", "champion"]
    losses = client_of(home).get_metric_history(last.result["run_id"], "train/loss")
    assert {1, num_steps(home)} <= {loss.step for loss in losses}


def test_a_run_that_is_stopped_says_that_it_goes_on(company: Company, tmp_path: Path) -> None:
    """By SIGTERM to the command and all that it has started, as systemd sends it."""
    home = tmp_path / "home"
    for moment in ("train: start ", "test: started"):
        command = Command(home, "run", str(company.recipe), "--json")
        command.wait_for(lambda moment=moment, command=command: moment in command.log)
        asked = time.monotonic()
        for process in processes_of(home):
            with suppress(psutil.NoSuchProcess):  # ended by one that was told before it
                process.send_signal(signal.SIGTERM)
        stopped = command.end()
        assert time.monotonic() - asked < GONE_AFTER_S
        assert stopped.returncode == 143, stopped.log
        said = "Stopped by SIGTERM. The same command goes on from here."
        assert stopped.log.splitlines()[-1] == said
        assert_all_gone(home)
    last = retune(home, "run", str(company.recipe), "--json")
    assert last.returncode == 0, last.log
    assert versions_of(home) == ["1"]


def test_a_killed_training_process_is_started_again(survivor: Ended) -> None:
    assert survivor.returncode == 0, survivor.log
    assert survivor.log.count("train: attempt 1 failed: tasks.training was ended by SIGKILL") == 1
    assert "train: resumed step" in survivor.log
    assert "attempt 2" not in survivor.log
    assert survivor.states == ["ran"] * 8


def test_several_tasks_are_told_apart(survivor: Ended) -> None:
    expected = {"macro/primary", "moods/accuracy", "moods/macro_f1"}
    expected |= {f"chats/{metric}" for metric in SUMMARY}
    result = survivor.result
    assert set(result["validation"]) == expected
    for metrics in result["test"].values():
        assert set(metrics) == expected
        mean = (metrics["chats/rougeL"]["value"] + metrics["moods/accuracy"]["value"]) / 2
        assert metrics["macro/primary"]["value"] == pytest.approx(mean, abs=1e-5)
        rows = metrics["chats/rougeL"]["n"] + metrics["moods/accuracy"]["n"]
        assert metrics["macro/primary"]["n"] == rows


def timed(name: str, ended: Ended) -> Ended:
    print(f"{name}: {ended.seconds:.1f} s")
    return ended


def client_of(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def versions_of(home: Path) -> list[str]:
    """The versions there are; each is of a run of its own, and there is no other run."""
    client = client_of(home)
    [experiment] = client.search_experiments(filter_string="name = 'chats'")
    versions = [str(entry.version) for entry in client.search_model_versions(f"name = '{MODEL}'")]
    assert len(client.search_runs([experiment.experiment_id])) == len(versions)
    return sorted(versions)


def num_steps(home: Path) -> int:
    summary = json.loads((home / "workspaces" / "chats" / "train" / "summary.json").read_text())
    return int(summary["steps"])


def checkpoints(home: Path, recipe: str) -> list[Path]:
    folder = home / "workspaces" / recipe / ".train.scratch"
    return list(folder.glob("*/checkpoint-*.pt"))


def decisions(home: Path, recipe: Path, override: str | None = None) -> list[str]:
    """What a run would do with each stage."""
    overrides = ["--set", override] if override else []
    planned = retune(home, "plan", str(recipe), *overrides, "--json")
    assert planned.returncode == 0, planned.log
    return [stage["decision"] for stage in planned.result["stages"]]


def digests(ended: Ended) -> dict[str, str]:
    return {name: stage["digest"] for name, stage in ended.result["stages"].items()}


def without_states(result: dict[str, Any]) -> dict[str, Any]:
    stages = {
        name: {key: value for key, value in stage.items() if key != "state"}
        for name, stage in result["stages"].items()
    }
    return result | {"stages": stages}


def assert_all_gone(home: Path) -> None:
    """Nothing that a killed command had started is left, soon."""
    deadline = time.monotonic() + GONE_AFTER_S
    while (left := processes_of(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def answer_of_transformers(folder: Path, prompt: str) -> str:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder / "artifacts" / "model")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder / "artifacts" / "model")
    encoded = tokenizer(prompt, return_tensors="pt")
    output = model.generate(input_ids=encoded["input_ids"], max_new_tokens=12, do_sample=False)
    answer: str = tokenizer.decode(output[0], skip_special_tokens=True).strip()
    return answer
