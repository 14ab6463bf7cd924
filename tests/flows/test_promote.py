"""The promotion flow on a real Prefect server and registry: gates, approval, override, rollback."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.flow_runs import resume_flow_run

from flows.promote import promote, rollback
from tasks.errors import BadModel
from tasks.tracking import registry
from tests.registering import pipeline, registered

pytestmark = [
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own code
]

REPOSITORY = Path(__file__).parents[2]
RETUNE = [sys.executable, "-c", "from flows.cli import main; main()"]
APPROVAL = {"model": "summarizer", "approval": True}
LOWER_BAR = {"model": "summarizer", "min_gain": 0.9}


@pytest.fixture
def workspace(home: Path) -> Path:
    return home / "workspaces" / "chat"


def champion() -> str | None:
    found = registry.by_alias("summarizer", "champion")
    return found.version if found else None


def test_the_champion_is_scored_on_a_test_set_that_it_never_saw(
    workspace: Path, tiny_models: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "retune")
    short = {"generation": {"max_new_tokens": 4}}
    registered(pipeline(workspace, model=tiny_models["t5"]), **short)
    registered(pipeline(workspace, tuned=0.6, prompt="Other"), registry=LOWER_BAR, **short)
    scored = "version 1, the champion, is scored on the same records"
    assert caplog.text.count(scored) == 1  # by `register`; the probes are the same
    assert champion() == "1"

    result = promote("summarizer", wait_for_approval_s=0)
    assert caplog.text.count(scored) == 1  # its answers were kept
    assert (result["state"], result["version"], result["was"]) == ("refused", "2", "1")
    assert result["decision"]["promote"] is False and result["move"] is None
    assert "certain to be above 0.90" in result["decision"]["reasons"][0]
    assert result["decision"]["reasons"][-1].startswith(
        "It is better than the champion, version 1, in mean rougeL of the same test records"
    )
    assert champion() == "1"

    forced = promote("summarizer", override="It must.")
    assert (forced["state"], champion()) == ("promoted", "2")
    assert forced["move"]["override"] == "It must."
    assert forced["decision"] == result["decision"]
    assert promote("summarizer")["state"] == "unchanged"
    assert rollback("summarizer", to=1)["version"] == champion() == "1"  # `--param to=1`


def test_a_person_approves(workspace: Path) -> None:
    registered(pipeline(workspace))
    registered(pipeline(workspace, tuned=0.5), registry=APPROVAL)
    assert champion() == "1"
    waiting = promote("summarizer", wait_for_approval_s=0)
    assert waiting["state"] == "awaiting_approval"
    assert "`retune promote summarizer --approve`" in waiting["decision"]["reasons"][-1]

    refused = answered({"approve": False, "approved_by": "Bo", "comment": "Not today."})
    assert (refused["state"], champion()) == ("refused", "1")
    assert refused["decision"]["reasons"][-1] == "Bo did not approve. Not today."
    approved = answered({"approve": True, "approved_by": "Ana", "comment": "Read 20 answers."})
    assert (approved["state"], champion()) == ("promoted", "2")
    assert approved["move"]["who"] == "Ana"
    assert approved["move"]["reasons"][-1] == "Ana approved: Read 20 answers."


def test_what_was_rolled_back_returns_only_when_a_person_says_so(workspace: Path) -> None:
    registered(pipeline(workspace))
    registered(pipeline(workspace, tuned=0.5))
    rollback("summarizer", reason="It answers too long.")
    waiting = promote("summarizer", wait_for_approval_s=0)
    assert (waiting["state"], champion()) == ("awaiting_approval", "1")
    assert "took it out of service: it waits for approval" in waiting["decision"]["reasons"][-1]
    assert promote("summarizer", approve=True)["state"] == "promoted"
    assert champion() == "2"


def test_without_challenger_or_evidence(home: Path, workspace: Path) -> None:
    with pytest.raises(BadModel, match="a model with a challenger"):
        promote("summarizer")
    registered(pipeline(workspace), registry=LOWER_BAR)
    for kept in (home / "mlartifacts").rglob("evidence.json"):
        kept.unlink()
    with pytest.raises(BadModel, match="a version whose run has its evidence"):
        promote("summarizer")
    forced = promote("summarizer", override="It was judged on paper.")
    assert forced["decision"]["reasons"] == ("It can't be judged: none.",)
    assert champion() == "1"


def test_the_command(home: Path, workspace: Path) -> None:
    registered(pipeline(workspace), registry=LOWER_BAR)
    bad = retune("promote", "summarizer", "--override")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "--override together with --reason TEXT" in bad.stderr

    refused = retune("promote", "summarizer", "--require-promotion", "--json")
    assert refused.returncode == 3, refused.stderr
    assert json.loads(refused.stdout)["state"] == "refused"
    forced = retune("promote", "summarizer", "--override", "--reason", "Pilot.")
    assert forced.returncode == 0, forced.stderr
    assert "summarizer version 1: promoted, in place of version none" in forced.stdout
    assert "Overridden: Pilot." in forced.stdout
    none = retune("rollback", "summarizer", "--json")
    assert (none.returncode, none.stdout) == (2, "")
    assert "version 1, the first" in none.stderr


def retune(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RETUNE, *arguments],
        cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def answered(form: dict[str, Any]) -> dict[str, Any]:
    """What comes of a promotion whose form is filled in on Prefect's page."""
    results: list[dict[str, Any]] = []
    here = copy_context()  # which server to use
    thread = threading.Thread(target=lambda: results.append(here.run(promote, "summarizer")))
    thread.start()
    with get_client(sync_client=True) as client:
        paused = FlowRunFilter.model_validate({"state": {"name": {"any_": ["Paused"]}}})
        deadline = time.monotonic() + 120
        while not (runs := client.read_flow_runs(flow_run_filter=paused)):
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.2)
    [run] = runs
    resume_flow_run(run.id, run_input=form)
    thread.join()
    return results[0]
