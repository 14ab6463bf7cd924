"""What `retune deploy` makes of a `prefect.yaml` that a user has changed."""

from pathlib import Path

import pytest

from flows.deploy import FILE, ROOT, _read
from tasks.errors import BadInput

BAD = [
    ("deployments: [", "YAML"),
    ("", "a list of deployments"),
    ("deployments: {name: retrain}", "a list of deployments"),
    ("deployments: [{name: retrain}]", "prefect.yaml: retrain\n.*work_pool"),
    ("deployments: [{name: retrain, work_pool: retune}]", "prefect.yaml: retrain\n.*work_pool"),
    ("deployments: [{work_pool: {name: retune}}]", "deployment 1\n.*with a name"),
    ("deployments: [retrain]", "prefect.yaml: deployment 1\n.*work_pool"),
]


@pytest.mark.parametrize(("text", "told"), BAD)
def test_what_is_wrong_is_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=told):
        _read(path)


def test_what_pauses_for_a_person_has_no_limit() -> None:
    """Prefect ends a run that is paused longer than it leases a slot for."""
    entries = {entry["name"]: entry for entry in _read(ROOT / FILE)["deployments"]}
    assert "concurrency_limit" in entries["finetune"]
    assert "concurrency_limit" not in entries["promote"]
