"""The stages validate, test and forgetting, each with its real child process."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import forgetting, holdout, validate
from tasks.config import BaseModelSection, Generation, Holdout
from tasks.errors import BadData, BadInput
from tasks.prompts.of_task import TaskPrompts
from tasks.scoring.probes import examples_of, load_suite, side_of
from tasks.stage import Artifact, Inputs
from tests.toy import (
    ECHO,
    SCHEMA,
    WORDS,
    examples,
    save_model,
    write_examples,
    write_rows,
    write_suite,
)

pytestmark = pytest.mark.usefixtures("forked_children")

GENERATION = Generation(max_new_tokens=6, batch_tokens=400)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "base": save_model(folder / "base", "t5", seed=0),
        "tuned": save_model(folder / "tuned", "t5", seed=1),
        "decoder": save_model(folder / "decoder", "gpt2"),
    }


@pytest.fixture
def inputs(tmp_path: Path, models: dict[str, Path]) -> Inputs:
    """A workspace after training: two tasks, 12 test examples."""
    split, train = tmp_path / "workspace" / "split", tmp_path / "workspace" / "train"
    train.mkdir(parents=True)
    (train / "model").symlink_to(models["tuned"])
    (train / "summary.json").write_text("{}")
    rows = examples("echo", 30) + examples("again", 10)
    for row in rows[30:]:
        row["label"] = row["completion"].split()[0]
    write_examples(split / "train.parquet", rows[:22] + rows[30:34])
    write_examples(split / "validation.parquet", rows[22:24] + rows[34:36])
    write_examples(split / "test.parquet", rows[22:30] + rows[36:])
    texts = [{**row, "text": row["id"]} for row in rows]
    schema = SCHEMA.append(pa.field("text", pa.string()))
    (tmp_path / "workspace" / "template").mkdir()
    pq.write_table(
        pa.Table.from_pylist(texts, schema=schema),
        tmp_path / "workspace" / "template" / "examples.parquet",
    )
    (tmp_path / "workspace" / "ingest").mkdir()
    for task in ("echo", "again"):
        records = [
            {
                "id": row["id"],
                "group_id": None,
                "references": row["references"],
                "text": row["completion"],
                "said": row["completion"],
            }
            for row in rows
            if row["task"] == task
        ]
        pq.write_table(
            pa.Table.from_pylist(records), tmp_path / "workspace" / "ingest" / f"{task}.parquet"
        )
    made = {
        name: Artifact(name, tmp_path / "workspace" / name, name, 1, "ran", 0.0, {})
        for name in ("ingest", "template", "split", "train")
    }
    return Inputs(tmp_path / "workspace", made)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A repository with a probe suite of its own."""
    return write_suite(tmp_path)


def metrics_of(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return metrics


def predictions_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def holdout_section(models: dict[str, Path], base: str = "base", **test: Any) -> Any:
    return holdout.TestSection(
        base_model=BaseModelSection(path=str(models[base])),
        test=Holdout(**{"resamples": 1000, "few_shot_examples": 4, **test}),
        metrics={"echo": ("rougeL", "bleu"), "again": ("accuracy", "macro_f1")},
        prompts={},
        generation=GENERATION,
        max_prompt_tokens=100,
        min_gain=0.0,
        seed=7,
    )


def validate_section(**changes: Any) -> validate.ValidateSection:
    given: dict[str, tuple[str, ...]] = {"echo": ("token_f1",), "again": ("exact_match",)}
    return validate.ValidateSection(
        metrics=given, generation=GENERATION, max_prompt_tokens=100, resamples=1000, seed=7
    ).model_copy(update=changes)


def forgetting_section(models: dict[str, Path], probes: str | None) -> Any:
    return forgetting.ForgettingSection(
        base_model=BaseModelSection(path=str(models["base"])),
        probes=probes,
        max_drop=0.05,
        max_examples=5,
        leave_out_overlaps=False,
        generation=GENERATION,
        max_prompt_tokens=100,
        resamples=1000,
        seed=7,
    )


def test_validate(inputs: Inputs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "retune")
    artifact = validate.run(validate_section(), inputs)
    metrics = metrics_of(artifact.path)
    assert artifact.rows == 4
    assert set(metrics["ways"]) == {"tuned"}
    assert set(metrics["ways"]["tuned"]) == {"echo/token_f1", "again/exact_match", "macro/primary"}
    assert metrics["ways"]["tuned"]["macro/primary"]["n"] == 4
    assert metrics["primary"] == "macro/primary"
    assert metrics["differences"] == {}
    assert "validate: 4 of 4, tuned" in caplog.text
    assert validate.run(validate_section(), inputs).state == "reused"


def test_validate_without_a_validation_split(inputs: Inputs) -> None:
    write_examples(inputs["split"] / "validation.parquet", [])
    artifact = validate.run(validate_section(), inputs)
    assert (artifact.rows, metrics_of(artifact.path)["ways"]) == (0, {})
    assert predictions_of(artifact.path) == []


def test_test(inputs: Inputs, models: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    section = holdout_section(
        models, baselines=("one_shot", "few_shot"), few_shot_examples=(4, 9), max_examples=6
    )
    artifact = holdout.run(section, inputs)
    metrics, rows = metrics_of(artifact.path), predictions_of(artifact.path)
    assert artifact.rows == len(rows) == 6 + 4
    assert list(metrics["ways"]) == ["base", "one_shot", "few_shot", "few_shot_9", "tuned"]
    others = ["base", "one_shot", "few_shot", "few_shot_9"]
    assert list(metrics["differences"]) == [f"tuned-{way}" for way in others]
    macro = metrics["differences"]["tuned-base"]["macro"]
    assert set(macro) == {"value", "low", "high", "n", "p", "decided", "detectable", "needed_n"}
    of_tasks = metrics["differences"]["tuned-base"]["tasks"].values()
    assert all(entry["p"] <= entry["p_holm"] <= 1 for entry in of_tasks)
    of_way = {way: metrics["ways"][way]["macro/primary"]["value"] for way in ("tuned", "base")}
    assert macro["value"] == pytest.approx(of_way["tuned"] - of_way["base"], abs=2e-6)
    shots = metrics["generation"]["few_shot"]["shots"]
    assert shots["asked"] == 4 and 1 < shots["fitted_mean"] <= 4
    many = metrics["generation"]["few_shot_9"]["shots"]["fitted"]
    assert sum(many.values()) == 10 and many.get("9", 0) < 10
    assert "few_shot_9: " in caplog.text and "had fewer than 9 examples" in caplog.text
    none = {"asked": 0, "fitted_mean": 0.0, "fitted": {"0": 10}}
    assert metrics["generation"]["base"]["shots"] == none
    assert metrics["best_in_context"] in others[1:]
    assert metrics["generation"]["tuned"]["relative_cost"] == 1.0
    assert metrics["generation"]["few_shot"]["relative_cost"] > 1.5
    assert all(entry["human"] == {} for entry in metrics["tasks"].values())
    tokens = [metrics["generation"][way]["tokens_per_request"] for way in metrics["ways"]]
    assert tokens[0] < tokens[1] < tokens[2]
    _check_predictions(metrics, rows)


def _check_predictions(metrics: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    keys = "id task template prompt references completions scores"
    assert list(rows[0]) == keys.split()
    echo = [row for row in rows if row["task"] == "echo"]
    assert len({row["completions"]["tuned"] for row in echo}) > 1
    mean = sum(row["scores"]["base"]["rougeL"] for row in echo) / len(echo)
    of_way = metrics["tasks"]["echo"]["ways"]["base"]
    assert of_way["rougeL"]["value"] == pytest.approx(mean, abs=1e-5)
    assert metrics["tasks"]["again"]["primary"] == "accuracy"
    # Labels are what is expected, where there are any.
    assert all(row["references"][0] in WORDS for row in rows if row["task"] == "again")


def test_a_decoder_only_model_does_not_differ_from_itself(
    inputs: Inputs, models: dict[str, Path]
) -> None:
    (inputs["train"] / "model").unlink()
    (inputs["train"] / "model").symlink_to(models["decoder"])
    section = holdout_section(models, base="decoder", baselines=("few_shot",))
    metrics = metrics_of(holdout.run(section, inputs).path)
    macro = metrics["differences"]["tuned-base"]["macro"]
    same = {"value": 0.0, "low": 0.0, "high": 0.0, "n": 12, "p": 1.0}
    # 12 rows that do not differ say nothing of what befalls fewer than one in four.
    assert macro == {**same, "decided": False, "detectable": 0.25, "needed_n": 150}
    assert metrics["generation"]["few_shot"]["shots"]["fitted_mean"] > 1


def test_phrasings(inputs: Inputs, models: dict[str, Path], tmp_path: Path) -> None:
    prompts = tmp_path / "echo.yaml"
    prompts.write_text(ECHO)
    echo = TaskPrompts(prompts=str(prompts), promptsource=None, digest="x")
    section = holdout_section(models, baselines=("zero_shot",), phrased_examples=5)
    section = section.model_copy(update={"prompts": {"echo": echo}})
    metrics = metrics_of(holdout.run(section, inputs).path)
    assert list(metrics["phrasings"]) == ["echo"]
    told = metrics["phrasings"]["echo"]
    kinds = {name: (entry["heldout"], entry["n"]) for name, entry in told["templates"].items()}
    assert kinds == {"plain": (False, 5), "other": (True, 5)}
    seen, heldout = (told["templates"][name]["value"] for name in ("plain", "other"))
    assert told["seen"]["value"] == seen and told["heldout"]["value"] == heldout
    assert told["spread"] == pytest.approx(abs(seen - heldout), abs=2e-6)
    assert told["difference"]["value"] == pytest.approx(seen - heldout, abs=2e-6)


def test_overlapping_rows_are_told_and_left_out(
    inputs: Inputs, models: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = inputs["template"] / "examples.parquet"
    rows = pq.read_table(path).to_pylist()
    leaked, twin = rows[22], rows[3]  # of test, of train
    leaked["text"] = twin["text"] = "a long text that stands in train and in test as well"
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    split = inputs["split"]
    write_examples(split / "test.parquet", rows[22:30] + rows[36:])
    section = holdout_section(models, baselines=("zero_shot",), leave_out_overlaps=True)
    artifact = holdout.run(section, inputs)
    leakage = json.loads((artifact.path / "leakage.json").read_text())
    assert leakage["left_out"] is True
    entry = leakage["tasks"]["echo"]
    assert (entry["rows"], entry["overlapping"]) == (8, 1)
    assert entry["examples"] == [{"id": leaked["id"], "train_id": twin["id"], "similarity": 1.0}]
    assert leakage["tasks"]["again"]["overlapping"] == 0
    assert leaked["id"] not in {row["id"] for row in predictions_of(artifact.path)}
    assert artifact.rows == 11
    assert "1 of 8 rows of echo stand, nearly the same" in caplog.text


def test_base_model_is_an_input(inputs: Inputs, models: dict[str, Path]) -> None:
    files = {base: holdout.files(holdout_section(models, base=base)) for base in ("base", "tuned")}
    assert files["base"] != files["tuned"]


def test_the_childs_bad_input_reaches_the_user(inputs: Inputs) -> None:
    section = validate_section(metrics={"echo": ("rougeL",), "third": ("rougeL",)})
    with pytest.raises(BadInput, match="examples of echo, third"):
        validate.run(section, inputs)
    assert not (inputs.workspace / "validate").exists()


def test_forgetting(inputs: Inputs, models: dict[str, Path], suite: Path) -> None:
    section = forgetting_section(models, str(suite))
    artifact = forgetting.run(section, inputs)
    result = json.loads((artifact.path / "probes.json").read_text())
    assert set(result["probes"]) == {"echo", "echo_again"}
    assert result["probes"]["echo_again"]["metric"] == "chrf"
    assert [result["probes"][name]["n"] for name in ("echo", "echo_again")] == [5, 3]
    for probe in result["probes"].values():
        assert probe["delta"] == pytest.approx(probe["after"] - probe["before"], abs=2e-6)
        assert probe["low"] <= probe["delta"] <= probe["high"]
        assert (probe["leakage"]["overlapping"], probe["leakage"]["left_out"]) == (0, False)
        assert probe["verdict"] != "kept"  # not on 5 rows
        assert probe["needed_n"] >= 3 / 0.05
        lost, won = probe["flips"]["right_to_wrong"], probe["flips"]["wrong_to_right"]
        assert 0 <= lost["share"] + won["share"] <= 1
    assert set(metrics_of(artifact.path)["ways"]) == {"base", "tuned"}
    assert forgetting.run(section, inputs).state == "reused"
    suite.write_text(suite.read_text().replace("max_examples: 3", "max_examples: 2"))
    assert not forgetting.STAGE.is_valid(section, inputs)


def test_a_probe_without_rows_is_left_out(
    inputs: Inputs, models: dict[str, Path], suite: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"text": f"{word} sky over the wide sea", "said": word} for word in WORDS]
    leaked = suite.parents[2] / "data" / "leaked.jsonl"
    write_rows(leaked, rows)
    named = "echo_again, source: {path: data/echo"
    suite.write_text(suite.read_text().replace(named, "leaked, source: {path: data/leaked"))
    path = inputs["template"] / "examples.parquet"
    known = pq.read_table(path).to_pylist()
    for example, row in zip(known, rows, strict=False):
        example["text"] = row["text"]
    pq.write_table(pa.Table.from_pylist(known, schema=pq.read_schema(path)), path)
    output: Any = SimpleNamespace(scratch=suite.parents[2])
    section = forgetting_section(models, str(suite)).model_copy(update={"leave_out_overlaps": True})
    kept, examples, _ = forgetting.rows_to_score(section, inputs, output)
    assert [loaded.name for loaded in kept] == ["echo"]
    assert {example["task"] for example in examples} == {"echo"}
    assert "the probe leaked is left out" in caplog.text
    assert "forgetting.leave_out_overlaps" in caplog.text


def test_no_probe_has_rows_on_the_side_that_is_asked_for(
    inputs: Inputs, models: dict[str, Path], suite: Path
) -> None:
    output: Any = SimpleNamespace(scratch=suite.parents[2])
    [only] = examples_of(load_suite(str(suite))[0], 1, output.scratch)
    other = "test" if side_of(only["id"]) == "validation" else "validation"
    section = forgetting_section(models, str(suite))
    asked = section.model_copy(update={"side": other, "max_examples": 1})
    with pytest.raises(BadData, match=r"raise forgetting\.max_examples") as caught:
        forgetting.rows_to_score(asked, inputs, output)
    # Both are of the same rows.
    assert [issue.where for issue in caught.value.issues] == [
        "the probe echo",
        "the probe echo_again",
    ]


def test_neutral_text_is_a_probe(inputs: Inputs, tiny_models: dict[str, Path], suite: Path) -> None:
    (inputs["train"] / "model").unlink()
    (inputs["train"] / "model").symlink_to(tiny_models["t5"])
    models = {"base": tiny_models["t5"]}
    told = suite.read_text().partition("probes:")[0] + (
        "probes:\n  - {name: text, source: {path: data/echo.jsonl, columns: "
        "{text: said, original: said}}, prompts: text_continuation, metrics: [inverse_perplexity]}"
    )
    suite.write_text(told)
    artifact = forgetting.run(forgetting_section(models, str(suite)), inputs)
    probe = json.loads((artifact.path / "probes.json").read_text())["probes"]["text"]
    assert probe["metric"] == "inverse_perplexity"
    assert 0 < probe["before"] == probe["after"] < 1
    assert probe["flips"] is None
    # Nothing is generated where no metric reads it.
    assert all(row["completions"]["tuned"] == "" for row in predictions_of(artifact.path))
    assert metrics_of(artifact.path)["generation"]["tuned"]["tokens_per_request"] == 0.0


HARNESS = """
harness: {{tasks: [{task}], include_path: {folder}, max_examples: 4}}
"""
HARNESS_TASK = """\
task: sky
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: [sky, sea]
doc_to_target: 0
metric_list: [{{metric: acc}}]
"""


@pytest.fixture
def harness_suite(suite: Path, tmp_path: Path) -> Path:
    """The suite with a task of the lm-evaluation-harness, whose rows need no hub."""
    folder = tmp_path / "harness"
    folder.mkdir()
    rows = tmp_path / "data" / "echo.jsonl"
    (folder / "sky.yaml").write_text(HARNESS_TASK.format(rows=rows))
    suite.write_text(suite.read_text() + HARNESS.format(task="sky", folder=folder))
    return suite


def test_tasks_of_the_harness_are_probes(
    inputs: Inputs, models: dict[str, Path], harness_suite: Path
) -> None:
    pytest.importorskip("lm_eval")
    section = forgetting_section(models, str(harness_suite))
    artifact = forgetting.run(section, inputs)
    probe = json.loads((artifact.path / "probes.json").read_text())["probes"]["sky"]
    rows = [json.loads(line) for line in (artifact.path / "harness.jsonl").read_text().splitlines()]
    assert (probe["metric"], probe["n"]) == ("acc", 4)
    for way, figure in (("base", probe["before"]), ("tuned", probe["after"])):
        assert figure == sum(row["scores"][way]["acc"] for row in rows) / 4
        for row in rows:
            assert row["scores"][way]["acc"] == float(row["completions"][way] == "sky")
    assert probe["low"] <= probe["delta"] <= probe["high"]
    assert probe["p_holm"] >= probe["p"]


def test_forgetting_without_probes(inputs: Inputs, models: dict[str, Path]) -> None:
    artifact = forgetting.run(forgetting_section(models, None), inputs)
    assert json.loads((artifact.path / "probes.json").read_text()) == {
        "max_drop": 0.05,
        "within_budget": True,
        "worst": None,
        "probes": {},
    }
