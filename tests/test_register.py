"""The register stage on artifacts as the other stages leave them, with a real MLflow."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import register
from tasks.config import Recipe
from tasks.stage import MANIFEST, Artifact, Inputs, digest_of_json, load_artifact, write_json

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

NUM_TEST = 60


@pytest.fixture
def workspace(home: Path) -> Path:
    return home / "workspaces" / "chat"


def recipe(**changes: Any) -> Recipe:
    content = {
        "name": "chat",
        "base_model": {"path": "models/tiny"},
        "tasks": [{"name": "chat", "source": {"path": "c.jsonl"}, "prompts": "dialogue_summary"}],
        "registry": {"model": "summarizer"},
        **changes,
    }
    return Recipe.model_validate_json(json.dumps(content))


def write_stage(workspace: Path, stage: str, files: dict[str, Any], **manifest: Any) -> None:
    folder = workspace / stage
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
    digest = digest_of_json([stage, {name: str(content) for name, content in files.items()}])
    made = {"stage": stage, "version": "1", "key": "k", "inputs": {}, "outputs": {}, "volatile": {}}
    made |= {"digest": digest, "rows": 1, "counts": {}, "seconds": 0.1, **manifest}
    write_json(folder / MANIFEST, made)


def measured(value: float, half: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": NUM_TEST}


def metrics_json(base: float, tuned: float) -> dict[str, Any]:
    ways = {"base": {"rougeL": measured(base)}, "tuned": {"rougeL": measured(tuned)}}
    gain = measured(tuned - base, 0.02)
    return {
        "ways": ways,
        "tasks": {"chat": {"primary": "rougeL", "ways": ways}},
        "differences": {"tuned-base": {"macro": gain, "tasks": {"chat": gain}}},
        "primary": "rougeL",
        "generation": {},
    }


def predictions(tuned: float, prompt: str) -> str:
    rows = [
        {
            "id": f"{number:016x}", "task": "chat", "template": "gist",
            "prompt": f"{prompt} {number}", "references": ["r"],
            "completions": {"base": "b", "tuned": "t"},
            "scores": {"base": {"rougeL": 0.0}, "tuned": {"rougeL": tuned + (number % 5) / 50}},
        }
        for number in range(NUM_TEST)
    ]  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


def pipeline(
    workspace: Path, tuned: float = 0.34, drop: float = 0.0, prompt: str = "Gist"
) -> Inputs:
    """What the seven stages before leave behind."""
    templates = [{"name": "gist", "heldout": False, "prompt": "Gist {{ d }}", "completion": "c"}]
    stored = {
        "name": "p", "version": "1", "task": "summarization", "slots": ["d"], "target": "s",
        "choices": [], "digest": "x", "templates": templates,
    }  # fmt: skip
    counts = {"rows": 5, "rejected": 0, "duplicates": 0, "reasons": {}}
    write_stage(workspace, "ingest", {"summary.json": {"chat": counts}})
    write_stage(workspace, "template", {"prompts/chat.json": stored})
    sides = {side: 3 for side in ("train", "validation", "test")}
    outputs = {f"{side}.parquet": f"{side}-digest" for side in sides}
    write_stage(workspace, "split", {"summary.json": {}}, counts=sides, outputs=outputs)
    for side in sides:
        pq.write_table(pa.table({"id": ["a", "b", "c"]}), workspace / "split" / f"{side}.parquet")
    write_stage(
        workspace,
        "train",
        {
            "model/config.json": {"is_encoder_decoder": True},
            "model/model.safetensors": f"weights {tuned}",
            "summary.json": {"parameters": 10, "mixture": {}},
            "epochs.csv": "epoch,step,train_loss,validation_loss\n1,10,2.0,2.1\n",
            "steps.jsonl": '{"step": 1, "loss": 3.0}\n',
        },
        inputs={"base_model": "base-digest"},
    )
    scored = {"metrics.json": metrics_json(0.05, tuned)}
    write_stage(workspace, "validate", scored)
    write_stage(workspace, "test", scored | {"predictions.jsonl": predictions(tuned, prompt)})
    probe = {"metric": "f1", "before": 0.8, "after": 0.8 - drop, "delta": -drop, "n": 9}
    probe |= {"low": -drop - 0.02, "high": -drop + 0.02}
    probes = {"max_drop": 0.05, "within_budget": True, "worst": "e", "probes": {"entities": probe}}
    write_stage(workspace, "forgetting", {"probes.json": probes})
    return Inputs(workspace, {name: load_artifact(workspace, name) for name in register.NEEDS})


def registered(inputs: Inputs, **changes: Any) -> tuple[Artifact, dict[str, Any]]:
    from tasks.tracking.run import tracked

    key = digest_of_json([artifact.digest for artifact in inputs.artifacts.values()])
    told = recipe(**changes)
    with tracked(told, inputs.workspace, key, {"prefect.flow_run_id": "flow-7"}):
        artifact = register.run(register.select(told), inputs)
    return artifact, json.loads((artifact.path / "result.json").read_text(encoding="utf-8"))


def aliases() -> dict[str, str]:
    from mlflow.tracking import MlflowClient

    found = MlflowClient().get_registered_model("summarizer").aliases
    return {alias: str(version) for alias, version in found.items()}


def test_first_version_becomes_champion_and_carries_its_lineage(workspace: Path) -> None:
    from mlflow.tracking import MlflowClient

    from tasks.tracking.run import read_run

    inputs = pipeline(workspace)
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
    assert tags["retune.prefect_flow_run_id"] == "flow-7"
    assert json.loads(tags["retune.stage_versions"])["train"] == "1"
    assert "torch" in json.loads(tags["retune.packages"])
    run = MlflowClient().get_run(run_id)
    assert run.data.metrics["test/tuned/rougeL"] == 0.34
    assert run.data.metrics["validation/rougeL"] == 0.34
    assert run.data.metrics["forgetting/entities/before"] == 0.8
    assert {i.dataset.digest: i.tags[0].value for i in run.inputs.dataset_inputs} == {
        "train-digest": "training", "validation-digest": "validation", "test-digest": "test",
    }  # fmt: skip
    names = {file.path for file in MlflowClient().list_artifacts(run_id)}
    assert {"report.html", "recipe.json", "decision.json", "test"} <= names
    import mlflow

    folder = mlflow.artifacts.download_artifacts("models:/summarizer/1/artifacts/model")
    assert Path(folder, "model.safetensors").read_text() == "weights 0.34"
    assert "# summarizer" in Path(folder, "README.md").read_text(encoding="utf-8")

    described = json.loads((artifact.path / "version.json").read_text(encoding="utf-8"))
    assert described["aliases"] == ["challenger", "champion"]
    assert register.run(register.select(recipe()), inputs).state == "reused"


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


def test_a_challenger_must_beat_the_champion(workspace: Path) -> None:
    registered(pipeline(workspace, tuned=0.34))
    _, worse = registered(pipeline(workspace, tuned=0.30))
    assert worse["decision"]["promote"] is False
    assert "It is worse than the champion, version 1" in worse["decision"]["reasons"][-1]
    assert aliases() == {"challenger": "2", "champion": "1"}

    _, other = registered(pipeline(workspace, tuned=0.60, prompt="Another test set"))
    assert other["decision"]["promote"] is False
    assert "only 0 of the 60 test records" in other["decision"]["reasons"][-1]

    _, better = registered(pipeline(workspace, tuned=0.40))
    assert better["decision"]["promote"] is True
    assert aliases() == {"challenger": "4", "champion": "4"}


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


def test_import_is_light() -> None:
    code = "import sys, tasks.register; print({'torch', 'mlflow', 'prefect'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(register.__file__).parents[1],
    )  # fmt: skip
    assert done.stdout.strip() == "set()"
