"""dvc.yaml has the stages of the flow: the same modules, inputs and outputs."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.pipeline import PIPELINE
from tasks.stage import Stage

ROOT = Path(__file__).parents[1]
CONTENT = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")
MODULES = {"test": "tasks.holdout"}


def test_the_stages_are_those_of_the_pipeline_in_order() -> None:
    assert tuple(CONTENT["stages"]) == tuple(stage.name for stage in PIPELINE)


@pytest.mark.parametrize("stage", PIPELINE, ids=lambda stage: stage.name)
def test_each_stage_has_its_module_inputs_output_and_params(stage: Stage[Any]) -> None:
    told = CONTENT["stages"][stage.name]
    module = MODULES.get(stage.name, f"tasks.{stage.name}")
    assert told["cmd"] == "${python} -m " + module + " --recipe ${recipe}"
    assert module.replace(".", "/") + ".py" in told["deps"]
    for needed in stage.needs:
        assert "${workspace}/" + needed in told["deps"]
    assert told["outs"] == [{"${workspace}/" + stage.name: {"persist": True}}]
    assert told["params"] == [{"${recipe}": None}]  # all of it, whatever it leaves out


def test_code_data_and_metrics_exist() -> None:
    for stage in CONTENT["stages"].values():
        for dependency in stage["deps"]:
            assert dependency.startswith("${") or (ROOT / dependency).exists(), dependency
    workspace = next(part["workspace"] for part in CONTENT["vars"])
    assert all(metric.startswith(workspace) for metric in CONTENT["metrics"])
