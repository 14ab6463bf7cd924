"""Prefect keeps no result of a flow: what ends well leaves none, what fails is removed."""

from pathlib import Path

import pytest
from prefect import Flow
from prefect.results import ResultRecord
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from flows.compare import compare
from flows.finetune import finetune
from flows.forget import forget
from flows.promote import promote, rollback
from flows.retrain import retrain
from flows.watch import watch
from tasks.errors import BadRecipe


@pytest.mark.parametrize("flow", [finetune, retrain, compare, promote, rollback, watch])
def test_every_flow_has_its_error_forgotten(flow: Flow[..., object]) -> None:
    assert flow.persist_result is False
    assert flow.result_serializer == "json"
    assert forget in flow.on_failure_hooks


@pytest.mark.usefixtures("prefect_server")
def test_a_failed_flow_leaves_no_file(tmp_path: Path) -> None:
    kept: list[str] = []

    def look(flow: object, flow_run: object, state: object) -> None:
        record = getattr(state, "data", None)
        assert isinstance(record, ResultRecord)
        kept.append(Path(str(record.metadata.storage_key)).read_text(encoding="utf-8"))

    looked_at = finetune.with_options(on_failure=[look, forget])
    elsewhere = temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "storage"})
    with elsewhere, pytest.raises(BadRecipe):
        looked_at(str(tmp_path / "none.yaml"))
    [error] = kept
    assert error.startswith('{"__exc_type__": "tasks.errors.BadRecipe"')
    assert list((tmp_path / "storage").iterdir()) == []
