"""The register stage on artifacts as the other stages leave them, with a real MLflow."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import register
from tasks.stage import digest_of_file, write_json
from tests.registering import pipeline, recipe, registered

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code


@pytest.fixture
def workspace(home: Path) -> Path:
    return home / "workspaces" / "chat"


def aliases() -> dict[str, str]:
    from mlflow.tracking import MlflowClient

    found = MlflowClient().get_registered_model("summarizer").aliases
    return {alias: str(version) for alias, version in found.items()}


def test_first_version_becomes_champion_and_carries_its_lineage(workspace: Path) -> None:
    from mlflow.tracking import MlflowClient

    from tasks.tracking.run import read_run

    inputs = pipeline(workspace)
    read_at = {"chat": {"repo": "../registry", "path": "c.jsonl", "commit": "77e1"}}
    write_json(workspace / "ingest" / "dvc.json", read_at)
    artifact, result = registered(inputs)
    run_id = read_run(workspace).run_id
    assert aliases() == {"challenger": "1", "champion": "1"}
    assert (result["model"], result["version"], result["run_id"]) == ("summarizer", "1", run_id)
    assert result["decision"]["promote"] is True
    assert result["test"]["tuned"]["rougeL"]["value"] == 0.34
    assert result["validation"]["rougeL"]["low"] == pytest.approx(0.33)
    assert set(result["forgetting"]["entities"]) == {"before", "after", "delta", "low", "high"}
    assert Path(result["report"]).is_file()
    assert "Promoted" in (artifact.path / "report.html").read_text(encoding="utf-8")

    version = MlflowClient().get_model_version("summarizer", "1")
    assert version.run_id == run_id
    tags = version.tags
    assert tags["retune.data_digest"] == inputs.artifacts["ingest"].digest
    assert tags["retune.base_model_digest"] == "base-digest"
    assert json.loads(tags["retune.dvc_revisions"]) == read_at
    assert tags["retune.prefect_flow_run_id"] == "flow-7"
    assert json.loads(tags["retune.stage_versions"])["train"] == "1"
    assert "torch" in json.loads(tags["retune.packages"])
    run = MlflowClient().get_run(run_id)
    assert run.data.metrics["test/tuned/rougeL"] == 0.34
    assert run.data.metrics["validation/rougeL"] == 0.34
    assert run.data.metrics["forgetting/entities/before"] == 0.8
    used = {i.tags[0].value: i.dataset.digest for i in run.inputs.dataset_inputs}
    assert set(used) == {"training", "validation", "test"}
    train = digest_of_file(workspace / "split" / "train.parquet")
    assert used["training"] == train[: len(used["training"])] and len(used["training"]) == 36
    names = {file.path for file in MlflowClient().list_artifacts(run_id)}
    assert {"report.html", "recipe.json", "decision.json", "test"} <= names
    import mlflow

    folder = mlflow.artifacts.download_artifacts("models:/summarizer/1/artifacts/model")
    assert Path(folder, "model.safetensors").read_text() == "weights 0.34"
    assert "# summarizer" in Path(folder, "README.md").read_text(encoding="utf-8")

    described = json.loads((artifact.path / "version.json").read_text(encoding="utf-8"))
    assert described["aliases"] == ["challenger", "champion"]
    assert register.run(register.select(recipe()), inputs).state == "reused"


def test_a_choice_among_candidates_is_told(workspace: Path) -> None:
    figures = {"gain": 0.2, "gain_low": 0.1, "gain_high": 0.3, "drop": 0.2, "worst": "entities"}
    figures |= {"drop_low": 0.1, "drop_high": 0.3, "seconds": 9.0, "within_budget": False}
    better = {"drop": 0.01, "drop_low": 0.0, "drop_high": 0.02, "within_budget": True}
    tried = [
        {**figures, "name": "tuned", "chosen": False},
        {**figures, **better, "name": "replay", "chosen": True},
    ]
    found = {"chosen": "replay", "max_drop": 0.05, "within_budget": True, "candidates": tried}
    artifact, result = registered(
        pipeline(workspace, adapter={"candidates.json": json.dumps(found)})
    )
    assert result["candidates"] == tried
    assert "of 2 candidates, replay went on" in result["decision"]["reasons"][-1]
    report = (artifact.path / "report.html").read_text(encoding="utf-8")
    assert "2. replay (kept)" in report and "+0.010 (+0.000 to +0.020)" in report
    assert "fine-tuned (replay)" in (artifact.path / "README.md").read_text(encoding="utf-8")


def test_a_crash_after_registering_makes_no_second_version(workspace: Path) -> None:
    inputs = pipeline(workspace)
    _, first = registered(inputs)
    shutil.rmtree(workspace / "register")
    _, again = registered(inputs)
    assert again["version"] == first["version"] == "1"
    assert again["decision"] == first["decision"]  # not a tie with itself
    assert again["run_id"] == first["run_id"]

    _, better = registered(pipeline(workspace, tuned=0.5))
    assert better["version"] == "2"
    shutil.rmtree(workspace / "register")
    _, again = registered(pipeline(workspace, tuned=0.5))
    assert again["decision"] == better["decision"]
    assert "version 1" in again["decision"]["reasons"][-1]
    assert aliases() == {"challenger": "2", "champion": "2"}


def test_the_adapter_lies_beside_the_merged_model(workspace: Path) -> None:
    import mlflow

    registered(pipeline(workspace, adapter={"adapter/adapter_model.safetensors": "low rank"}))
    folder = mlflow.artifacts.download_artifacts("models:/summarizer/1/artifacts")
    assert {path.name for path in Path(folder).iterdir()} == {"model", "retune", "adapter"}
    assert Path(folder, "adapter", "adapter_model.safetensors").read_text() == "low rank"


def test_a_challenger_must_beat_the_champion(workspace: Path) -> None:
    registered(pipeline(workspace, tuned=0.34))
    _, worse = registered(pipeline(workspace, tuned=0.30))
    assert worse["decision"]["promote"] is False
    assert "It is worse than the champion, version 1" in worse["decision"]["reasons"][-1]
    assert aliases() == {"challenger": "2", "champion": "1"}

    _, better = registered(pipeline(workspace, tuned=0.40))
    assert better["decision"]["promote"] is True
    assert aliases() == {"challenger": "3", "champion": "3"}
    report = Path(better["report"]).read_text(encoding="utf-8")
    assert report.count("champion, version 1") == 4  # a reason, a figure, two times the gain


def test_a_probe_that_the_champion_knows_better_prevents_promotion(workspace: Path) -> None:
    registered(pipeline(workspace, tuned=0.34))
    roomy = {"probes": None, "max_drop": 0.1}
    inputs = pipeline(workspace, tuned=0.40, drop=0.09)  # within the budget against the base
    _, fine = registered(inputs, forgetting=roomy)
    assert fine["decision"]["promote"] is True
    _, worse = registered(pipeline(workspace, tuned=0.50, drop=0.2), forgetting=roomy)
    assert worse["decision"]["reasons"][-1].startswith(
        "entities is lower than with the champion, version 2 (difference -0.11,"
    )


def test_a_recipe_may_ask_for_approval(workspace: Path) -> None:
    _, result = registered(pipeline(workspace), registry={"model": "summarizer", "approval": True})
    assert result["decision"]["promote"] is False
    assert "waits for approval" in result["decision"]["reasons"][-1]
    assert aliases() == {"challenger": "1"}


def test_a_run_does_not_bring_back_what_was_rolled_back(workspace: Path) -> None:
    from tasks.tracking import promotion

    registered(pipeline(workspace))
    registered(pipeline(workspace, tuned=0.5))
    promotion.rollback("summarizer")
    inputs = pipeline(workspace, tuned=0.5)
    _, again = registered(inputs, registry={"model": "summarizer", "min_gain": 0.01})
    assert (again["version"], again["decision"]["promote"]) == ("2", False)
    assert "took it out of service: it waits for approval" in again["decision"]["reasons"][-1]
    assert aliases() == {"challenger": "2", "champion": "1"}


def test_forgetting_and_a_higher_bar_prevent_promotion(workspace: Path) -> None:
    _, result = registered(pipeline(workspace, drop=0.2))
    assert "entities fell from 0.80 to 0.60" in result["decision"]["reasons"][1]
    assert aliases() == {"challenger": "1"}
    bar = {"model": "summarizer", "min_gain": 0.28}
    _, result = registered(pipeline(workspace), registry=bar)
    assert "certain to be above 0.28" in result["decision"]["reasons"][0]
    assert aliases() == {"challenger": "2"}


def test_runs_again_when_the_registry_lost_the_version(workspace: Path) -> None:
    from mlflow.tracking import MlflowClient

    inputs = pipeline(workspace)
    registered(inputs)
    MlflowClient().delete_model_version("summarizer", "1")
    artifact, result = registered(inputs)
    assert (artifact.state, result["version"]) == ("ran", "2")


def test_runs_again_when_the_model_has_no_challenger(workspace: Path) -> None:
    from mlflow.tracking import MlflowClient

    inputs = pipeline(workspace)
    registered(inputs)
    MlflowClient().delete_registered_model_alias("summarizer", "challenger")
    artifact, result = registered(inputs)
    assert (artifact.state, result["version"]) == ("ran", "1")
    assert aliases() == {"challenger": "1", "champion": "1"}


def test_import_is_light() -> None:
    code = "import sys, tasks.register; print({'torch', 'mlflow', 'prefect'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(register.__file__).parents[1],
    )  # fmt: skip
    assert done.stdout.strip() == "set()"
