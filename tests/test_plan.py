"""The figures of `retune plan`, against those of the stages and of the real encoder and batches."""

import json
import logging
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tasks.plan
import tasks.training.cost
import tasks.training.forecast
from flows.tables import plan_tables
from tasks.config import Recipe, Train, load_recipe
from tasks.data.mixing import draws_per_epoch
from tasks.errors import BadData, BadInput
from tasks.home import workspace_of
from tasks.pipeline import PIPELINE
from tasks.plan import RUN_BYTES, as_json, plan
from tasks.stage import Artifact, Inputs, digest_of_folder, write_json
from tasks.training.forecast import Change, Forecast, forecast
from tests.toy import ECHO, write_rows

ROOT = Path(__file__).parents[1]
KNOWN: dict[Any, Forecast | str] = {}
RECIPE = """\
name: toy
base_model: {path: BASE}
tasks:
  - {name: long, source: {path: long.jsonl}, prompts: FOLDER/echo.yaml}
  - {name: short, source: {path: short.jsonl}, prompts: FOLDER/echo.yaml, max_examples: 150}
mixture: {strategy: equal}
split: {validation: 0.1, test: 0.1, near_duplicates: null}
train: {epochs: 2, batch_tokens: 1024, micro_batch_tokens: 512, max_prompt_tokens: 120}
forgetting: {probes: null}
registry: {model: toy}
"""


def rows(task: str, count: int) -> list[dict[str, str]]:
    """Texts of 1 to 30 words for the task `long`, of 1 to 3 for others."""
    most = 30 if task == "long" else 3
    return [
        {"text": f"{task} {number}" + " red sky" * (number * 7 % most), "said": f"blue {number}"}
        for number in range(count)
    ]


@pytest.fixture(params=["t5", "llama"])
def recipe_file(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    state_home: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "echo.yaml").write_text(ECHO)
    write_rows(tmp_path / "long.jsonl", rows("long", 900))
    write_rows(tmp_path / "short.jsonl", rows("short", 200))
    text = RECIPE.replace("BASE", str(tiny_models[request.param]))
    path = tmp_path / "toy.yaml"
    path.write_text(text.replace("FOLDER", str(tmp_path)))
    return path


@pytest.fixture
def recipe(recipe_file: Path) -> Recipe:
    return load_recipe(recipe_file)


@pytest.fixture(autouse=True)
def one_forecast_of_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forecast takes seconds, and many tests ask for the same one."""
    monkeypatch.setattr(tasks.plan, "forecast", _forecast)


def _forecast(
    folder: Path,
    train: Train,
    longest: tuple[int, int] | None,
    trusts_code: bool,
    reserved_bytes: int,
) -> Forecast | str:
    key = (str(folder), longest)  # no test here changes what else it depends on
    if key not in KNOWN:
        KNOWN[key] = forecast(folder, train, longest, trusts_code, reserved_bytes)
    return KNOWN[key]


only_t5 = pytest.mark.parametrize("recipe_file", ["t5"], indirect=True)


def run_data_stages(recipe: Recipe) -> dict[str, Artifact]:
    made: dict[str, Artifact] = {}
    for stage in PIPELINE[:3]:
        workspace = workspace_of(recipe.name)
        made[stage.name] = stage.run(stage.select(recipe), Inputs(workspace, made))
    return made


def real_epochs(recipe: Recipe, split: Path) -> tuple[dict[str, int], int, int, int]:
    """Draws, tokens, steps of all epochs and examples left out, by the code that trains."""
    from transformers import AutoConfig, AutoTokenizer

    from tasks.training.batching import epoch_rows, plan_steps
    from tasks.training.encoding import encode_examples

    train, base = recipe.train, Path(str(recipe.base_model.path))
    tokenizer = AutoTokenizer.from_pretrained(base)
    is_encoder_decoder = AutoConfig.from_pretrained(base).is_encoder_decoder
    examples = encode_examples(
        split / "train.parquet", tokenizer, is_encoder_decoder, train, split / "tokens"
    )
    draws = draws_per_epoch(Counter(examples.tasks.tolist()), recipe.mixture)
    num_tokens = num_steps = 0
    micro = int(train.micro_batch_tokens or 0)
    for epoch in range(train.epochs):
        drawn = epoch_rows(examples, draws, train.seed, epoch)
        num_tokens += int(examples.prompts.lengths[drawn].sum())
        num_tokens += int(examples.completions.lengths[drawn].sum())
        packs = False  # as on a CPU
        num_steps += len(plan_steps(drawn, examples, train, micro, packs, train.seed + epoch))
    return draws, num_tokens, num_steps, examples.num_dropped


def test_a_fresh_workspace_gives_the_figures_of_a_run(recipe: Recipe) -> None:
    planned = plan(recipe)
    assert not workspace_of(recipe.name).exists()
    made = run_data_stages(recipe)
    draws, num_tokens, num_steps, num_dropped = real_epochs(recipe, made["split"].path)

    assert planned.rows == {"long": 900, "short": 150}
    assert planned.splits == made["split"].counts
    split = json.loads((made["split"].path / "summary.json").read_text())
    mixture = {task.task: task for task in planned.mixture}
    assert {name: task.rows for name, task in mixture.items()} == {
        name: split[name]["train"] for name in ("long", "short")
    }
    assert num_dropped > 50  # the limits matter here
    assert planned.too_long_share == pytest.approx(
        num_dropped / made["split"].counts["train"], rel=0.25
    )
    assert planned.tokens == pytest.approx(num_tokens, rel=0.1)
    assert planned.steps == pytest.approx(num_steps, rel=0.1)
    assert planned.tokens_per_epoch == pytest.approx(num_tokens / 2, rel=0.1)
    for name, task in mixture.items():
        assert task.draws_per_epoch == pytest.approx(draws[name], rel=0.1)
        assert task.share == 0.5
    assert mixture["short"].epochs_over_rows == pytest.approx(
        2 * mixture["short"].draws_per_epoch / mixture["short"].rows, abs=0.01
    )
    assert mixture["short"].epochs_over_rows > 4 * mixture["long"].epochs_over_rows
    assert "500 of" not in planned.estimated_from["tokens_per_epoch"]  # only 250 of each task
    assert "by the base model's tokenizer" in planned.estimated_from["tokens_per_epoch"]


@only_t5
def test_with_the_artifacts_there_the_figures_stay(recipe: Recipe) -> None:
    before = plan(recipe)
    run_data_stages(recipe)
    workspace = workspace_of(recipe.name)
    digest = digest_of_folder(workspace)
    after = plan(recipe)
    assert digest_of_folder(workspace) == digest
    assert [stage.decision for stage in after.stages] == ["reuse"] * 3 + ["run"] * 5
    assert before.estimated_from["rows"] == "counted now, reading the data"
    assert after.estimated_from["rows"] == "counted by the stages"
    for figure in ("rows", "splits", "mixture", "tokens", "steps", "training_memory_bytes"):
        assert getattr(after, figure) == getattr(before, figure), figure


@only_t5
def test_a_change_of_the_split_rereads_from_what_is_still_valid(recipe: Recipe) -> None:
    run_data_stages(recipe)
    workspace = workspace_of(recipe.name)
    digest = digest_of_folder(workspace)
    half = recipe.model_copy(update={"split": recipe.split.model_copy(update={"test": 0.5})})
    planned = plan(half)
    assert [stage.decision for stage in planned.stages[:3]] == ["reuse", "reuse", "run"]
    assert planned.splits["test"] == pytest.approx(525, abs=60)
    assert digest_of_folder(workspace) == digest


@only_t5
def test_nothing_is_left_behind(
    recipe: Recipe, state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = digest_of_folder(tmp_path)
    plan(recipe)
    assert digest_of_folder(tmp_path) == before
    assert list(scratch.iterdir()) == []
    assert not state_home.exists()


@only_t5
def test_bad_rows_are_found(recipe: Recipe, tmp_path: Path) -> None:
    write_rows(tmp_path / "long.jsonl", [*rows("long", 50), *[{"text": "a", "said": ""}] * 20])
    with pytest.raises(BadData) as caught:
        plan(recipe)
    assert "20 of 70 rows unusable" in str(caught.value)
    kept = workspace_of(recipe.name) / "ingest-rejects.jsonl"
    assert f"all of them are in {kept} after `retune run`" in str(caught.value)
    assert not workspace_of(recipe.name).exists()


@only_t5
def test_examples_that_are_all_too_long_are_found(recipe: Recipe) -> None:
    short = recipe.train.model_copy(update={"max_completion_tokens": 2})
    with pytest.raises(BadData, match="all 379 that were looked at are over the length limits"):
        plan(recipe.model_copy(update={"train": short}))


@only_t5
def test_large_sources_are_left_unread(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.plan, "LARGEST_SOURCES_BYTES", 10_000)
    planned = plan(recipe)
    assert planned.rows == {"long": None, "short": None}
    assert planned.splits == {"train": None, "validation": None, "test": None}
    assert (planned.tokens, planned.steps, planned.training_seconds) == (None, None, None)
    assert "a plan reads up to 0 MB" in planned.estimated_from["rows"]
    assert planned.training_memory_bytes is not None
    ingest = PIPELINE[0]
    ingest.run(ingest.select(recipe), Inputs(workspace_of(recipe.name), {}))
    assert plan(recipe).rows == {"long": 900, "short": 150}


def test_the_time_goes_by_the_last_training_of_the_base_model(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.plan, "has_gpu", lambda: False)
    monkeypatch.setattr(tasks.training.cost, "flops_per_second", lambda: 3e9)
    first = plan(recipe)
    assert first.tokens and first.parameters
    # A CPU at 50% of 3 GFLOP/s, 6 operations per parameter and token.
    assert first.training_seconds == pytest.approx(
        6 * first.parameters * first.tokens / 1.5e9, abs=0.1
    )
    base = digest_of_folder(Path(str(recipe.base_model.path)))
    write_training("older", base, 100.0)
    write_training("newer", base, 250.0)
    write_training("another-model", "0" * 64, 9999.0)
    for age, name in ((100, "older"), (50, "newer"), (0, "another-model")):
        path = workspace_of(name) / "train" / "speed.json"
        os.utime(path, (1e9 - age, 1e9 - age))
    second = plan(recipe)
    assert second.training_seconds == pytest.approx(first.tokens / 250, abs=0.1)
    assert "250 tokens/s" in second.estimated_from["training_seconds"]
    assert "newer" in second.estimated_from["training_seconds"]


def write_training(workspace: str, base: str, tokens_per_s: float) -> None:
    folder = workspace_of(workspace) / "train"
    folder.mkdir(parents=True)
    write_json(folder / "manifest.json", {"inputs": {"split": "1", "base_model": base}})
    write_json(folder / "speed.json", {"seconds": 1.0, "tokens_per_s": tokens_per_s})


@only_t5
def test_on_a_gpu_only_a_measured_speed_counts(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.plan, "has_gpu", lambda: True)
    planned = plan(recipe)
    assert planned.training_seconds is None
    assert "GPU" in planned.estimated_from["training_seconds"]


@only_t5
def test_a_reused_training_tells_what_it_took(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run_data_stages(recipe)

    def write(section: Any, inputs: Inputs, output: Any) -> Any:
        write_json(output.path / "summary.json", {"steps": 7, "tokens": 4321})
        write_json(output.path / "speed.json", {"seconds": 12.5, "tokens_per_s": 345.7})
        return tasks.stage.Counted(1, {})

    stage = replace(PIPELINE[3], write=write)
    stage.run(stage.select(recipe), Inputs(workspace_of(recipe.name), made))
    planned = plan(recipe)
    assert planned.stages[3].decision == "reuse"
    assert (planned.steps, planned.tokens, planned.training_seconds) == (7, 4321, 12.5)
    assert planned.estimated_from["tokens"] == "measured by the training that is reused"


def from_scratch(recipe: Recipe, folder: Path, **changes: Any) -> Recipe:
    """The same with weights that are yet to be made, from a config with changes."""
    folder.mkdir()
    for path in Path(str(recipe.base_model.path)).glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_json(folder / "config.json", config | changes)
    base = recipe.base_model.model_copy(update={"path": str(folder), "from_scratch": True})
    return recipe.model_copy(update={"base_model": base})


@only_t5
def test_weights_that_are_yet_to_be_made_are_counted(recipe: Recipe, tmp_path: Path) -> None:
    planned, made = plan(from_scratch(recipe, tmp_path / "anew")), plan(recipe)
    assert planned.trainable_parameters == planned.parameters
    for figure in ("parameters", "training_memory_bytes", "tokens", "steps"):
        assert getattr(planned, figure) == pytest.approx(getattr(made, figure), rel=0.05), figure
    assert planned.fits is True
    assert sum(planned.memory.values()) == planned.training_memory_bytes


@pytest.mark.parametrize("recipe_file", ["llama"], indirect=True)
def test_what_can_not_fit_is_refused_before_it_trains(recipe: Recipe, tmp_path: Path) -> None:
    huge = {"hidden_size": 65536, "intermediate_size": 65536, "head_dim": 32768}
    recipe = from_scratch(recipe, tmp_path / "huge", **huge)
    planned = plan(recipe)
    assert planned.fits is False
    assert planned.parameters and planned.parameters > 5e10
    assert planned.memory["weights"] == pytest.approx(4 * planned.parameters, rel=1e-3)
    made = run_data_stages(recipe)
    stage = PIPELINE[3]
    with pytest.raises(BadInput, match="weights .*, gradients .*, optimizer .*, activations") as no:
        stage.run(stage.select(recipe), Inputs(workspace_of(recipe.name), made))
    assert "take a smaller base model" in str(no.value)
    assert not list(workspace_of(recipe.name).rglob("job.json"))


@only_t5
def test_what_the_run_itself_takes_is_not_there_for_training(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = RUN_BYTES + tasks.training.forecast.LAUNCHER_BYTES + 7 + 5
    monkeypatch.setattr(tasks.training.forecast, "available_memory_bytes", lambda: there)
    monkeypatch.setattr(tasks.plan, "forecast", forecast)
    planned = plan(recipe, server_bytes=7)
    assert (planned.available_memory_bytes, planned.fits) == (5, False)


@only_t5
def test_the_time_can_be_measured(recipe: Recipe, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "retune")
    planned = plan(recipe, measure=True)
    assert "plan: training a few steps" in caplog.messages
    assert any(message.startswith("plan: 7 of 7, ") for message in caplog.messages)
    source = planned.estimated_from["training_seconds"]
    found = re.match(r"measured now: ([\d,]+) tokens/s, the median of 6 optimizer steps", source)
    assert found and planned.tokens and planned.training_seconds
    rate = float(found[1].replace(",", ""))
    assert planned.training_seconds == pytest.approx(planned.tokens / rate, abs=0.1, rel=1e-3)
    assert not workspace_of(recipe.name).exists()


@only_t5
def test_what_carries_loss_is_counted(recipe: Recipe) -> None:
    planned = plan(recipe)
    assert planned.stop_token_trained is True
    assert planned.truncated_share == 0.0  # they are left out
    assert 0 < (planned.supervised_tokens_per_epoch or 0) < (planned.tokens_per_epoch or 0) / 2
    cut = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"too_long": "truncate"})}
    )
    assert plan(cut).truncated_share == planned.too_long_share


@only_t5
def test_the_tables_show_it_plainly(recipe: Recipe) -> None:
    from rich.console import Console

    change = Change(set={"gradient_checkpointing": True}, memory_bytes=2**20)
    planned = replace(
        plan(recipe), available_memory_bytes=2**21, training_memory_bytes=3 * 2**20, fits=False,
        changes=[change],
    )  # fmt: skip
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    for table in plan_tables(planned):
        console.print(table)
    console.file.close()
    lines = [" ".join(line.split("│")).split() for line in console.export_text().splitlines()]
    text = "\n".join(" ".join(line) for line in lines)
    assert "rows of short 150 counted now" in text
    assert f"train examples {planned.splits['train']} counted now" in text
    assert f"tokens in all {planned.tokens:,} estimate: 2 epochs" in text
    assert "memory for training about 3 MiB forecast of the largest micro-batch: weights" in text
    assert "memory available 2 MiB it does NOT fit" in text
    assert "it would fit with about 1 MiB --set train.gradient_checkpointing=true" in text
    assert f"short {planned.mixture[1].rows} 50.0%" in text


@only_t5
def test_the_command_prints_one_document_without_torch(recipe_file: Path) -> None:
    unwanted = ["torch", "transformers", "prefect", "mlflow"]
    found = f"print([m for m in {unwanted!r} if m in sys.modules], file=sys.stderr)"
    code = f"import atexit, sys; atexit.register(lambda: {found})\n"
    code += "from flows.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, "plan", str(recipe_file), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *progress, imported = done.stderr.splitlines()
    assert imported == "[]"
    assert [line.partition("  ")[2] for line in progress] == [
        "plan: looking at data and base model",
        "plan: forecasting the memory of training",
    ]
    document = json.loads(done.stdout)
    expected = json.loads(json.dumps(as_json(plan(load_recipe(recipe_file)))))
    assert document.keys() == expected.keys()
    for figure in ("rows", "splits", "mixture", "tokens", "steps", "parameters", "stages"):
        assert document[figure] == expected[figure], figure
    (recipe_file.parent / "long.jsonl").write_text("{\n")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
