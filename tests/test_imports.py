"""Imports point one way, and what is heavy is imported only where it works."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.pipeline import PIPELINE

ROOT = Path(__file__).parents[1]
STAGE_MODULES = {stage.write.__module__ for stage in PIPELINE}
PARTS = ("data", "prompts", "training", "scoring", "tracking", "report")
HEAVY = {"prefect", "torch", "transformers", "mlflow", "scipy", "evaluate"}
RUNNERS = {"tasks.pipeline", "tasks.plan"}
"""They see every stage, as the flows do."""


def modules() -> list[Path]:
    return sorted((ROOT / "tasks").rglob("*.py")) + sorted((ROOT / "flows").rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(module: str) -> int:
    """0 foundation, 1 parts, 2 stages, 3 what sees all stages, 4 flows."""
    if module.startswith("flows"):
        return 4
    if module in RUNNERS or module.startswith("tasks.compare"):
        return 3
    if module in STAGE_MODULES or module == "tasks.stage_main":
        return 2
    return 1 if module.split(".")[1:2] and module.split(".")[1] in PARTS else 0


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_import_points_upwards(path: Path) -> None:
    module = name_of(path)
    for imported in imports_of(path):
        if not imported.startswith(("tasks.", "flows.")):
            continue
        assert layer(imported) <= layer(module), f"{module} imports {imported}"
        if module in STAGE_MODULES:
            others = STAGE_MODULES - {module}
            assert not any(imported == o or imported.startswith(f"{o}.") for o in others)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_prefect_stays_in_flows_and_mlflow_in_tracking(path: Path) -> None:
    module, tops = name_of(path), {imported.split(".")[0] for imported in imports_of(path)}
    if not module.startswith("flows"):
        assert "prefect" not in tops
    if not module.startswith("tasks.tracking"):
        assert "mlflow" not in tops


@pytest.mark.parametrize("module", [*sorted(STAGE_MODULES), "tasks.plan"])
def test_importing_a_stage_is_light(module: str) -> None:
    assert loaded_by(module).isdisjoint(HEAVY)


def test_importing_training_brings_in_neither_prefect_nor_mlflow() -> None:
    assert loaded_by("tasks.training.main").isdisjoint({"prefect", "mlflow"})


def loaded_by(module: str) -> set[str]:
    """Top-level modules in memory after an import."""
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert printed.returncode == 0, printed.stderr
    return set(printed.stdout.split())
