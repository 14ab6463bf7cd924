"""Some of the trials that `benchmarks/chaos.py` makes by the hundred: what no other test tries."""

from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.trials import trial
from tests.chaos.world import Reference

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own code
]
TRIALS = {"disk full": 3, "prefect restarted": 3}
"""Fault -> seed; these seeds have the fault come while the model is registered."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize("fault", TRIALS)
def test_a_disturbed_run_ends_with_the_right_model(
    fault: str, reference: Reference, tmp_path: Path
) -> None:
    if not FAULTS[fault].possible():
        pytest.skip("not possible on this machine")
    outcome = trial(reference, fault, TRIALS[fault], tmp_path / "trial")
    assert outcome.survived, outcome.problem
