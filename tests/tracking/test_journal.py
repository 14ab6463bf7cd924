"""Metrics survive a tracking server that dies, and a process that does."""

import json
import os
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tasks.errors import RetuneError
from tasks.tracking.connection import connect, retry_while_down
from tasks.tracking.journal import CURSOR, FILE, Journal, follow
from tasks.tracking.run import open_run
from tasks.tracking.system import system_metrics
from tests.tracking.conftest import Server

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code


def history(run_id: str, name: str) -> list[tuple[int, float]]:
    found = MlflowClient().get_metric_history(run_id, name)
    return sorted((metric.step, metric.value) for metric in found)


def test_every_metric_arrives_once_through_a_killed_server(server: Server, tmp_path: Path) -> None:
    run_id = open_run(tmp_path / "ws", "chat", "k", {"a": 1}, {})
    slowest_s = 0.0
    with follow(tmp_path / "ws", run_id, flush_timeout_s=180) as journal:
        for step in range(120):
            if step == 30:
                server.kill()
                down_at = time.monotonic()
            if step == 90:
                server.start()
                assert time.monotonic() - down_at > 5
                # Other calls wait as well.
                run = retry_while_down(lambda: connect().get_run(run_id), timeout_s=180)
                assert run.info.run_id == run_id
            started = time.monotonic()
            journal.metrics({"train/loss": 1 / (step + 1), "train/rate": step}, step)
            slowest_s = max(slowest_s, time.monotonic() - started)
            time.sleep(0.1)
    assert slowest_s < 0.5  # training never waited
    assert history(run_id, "train/loss") == [(step, 1 / (step + 1)) for step in range(120)]
    assert history(run_id, "train/rate") == [(step, float(step)) for step in range(120)]
    assert not (tmp_path / "ws" / FILE).exists()


def test_a_server_that_stays_down_costs_nothing_but_the_wait(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "ws"
    run_id = open_run(workspace, "chat", "k", {}, {})
    database = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with (
        pytest.raises(RetuneError, match=r"kept in .*\.journal\.jsonl"),
        follow(workspace, run_id, flush_timeout_s=1) as journal,
    ):
        journal.metrics({"a": 1.0}, 0)
    monkeypatch.setattr("tasks.tracking.journal.FLUSH_AFTER_ERROR_S", 1.0)
    with pytest.raises(ValueError, match="mine"), follow(workspace, run_id) as journal:
        journal.metrics({"a": 2.0}, 1)
        raise ValueError("mine")
    with pytest.raises(RetuneError, match=r"did not answer for 1 s.*the same command goes on"):
        retry_while_down(lambda: connect().get_run(run_id), timeout_s=1)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    with follow(workspace, run_id):
        pass
    assert history(run_id, "a") == [(0, 1.0), (1, 2.0)]


def test_what_a_killed_process_left_is_shipped_by_the_next(home: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    old = open_run(workspace, "chat", "k", {}, {})
    lines = [
        {"run_id": old, "time_ms": 1000 + step, "step": step, "metrics": {"a": float(step)}}
        for step in range(5)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (workspace / FILE).write_text(text + '{"run_id": "tor')
    # Two lines had arrived, but only one of them was ticked off.
    for line in lines[:2]:
        MlflowClient().log_metric(old, "a", float(line["step"]), 1000 + line["step"], line["step"])
    (workspace / CURSOR).write_text(str(len(json.dumps(lines[0])) + 1))
    new = open_run(workspace, "chat", "other", {}, {})
    with follow(workspace, new) as journal:
        journal.metrics({"a": 9.0}, 9)
    assert history(old, "a") == [(step, float(step)) for step in range(5)]
    assert history(new, "a") == [(9, 9.0)]


def test_a_bad_name_takes_no_other_with_it(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = open_run(tmp_path / "ws", "chat", "k", {}, {})
    with follow(tmp_path / "ws", run_id) as journal:
        journal.metrics({"good": 1.0}, 1)
        journal.metrics({"bad?name": 1.0}, 2)
        journal.metrics({"good": float("nan")}, 3)
        journal.metrics({"good": 4.0}, 4)
    found = history(run_id, "good")
    assert [step for step, _ in found] == [1, 3, 4]
    assert "refuses 1 metrics" in caplog.text


def test_system_metrics(home: Path, tmp_path: Path) -> None:
    run_id = open_run(tmp_path / "ws", "chat", "k", {}, {})
    with follow(tmp_path / "ws", run_id) as journal, system_metrics(journal, interval_s=0.2):
        time.sleep(0.7)
    percentages = history(run_id, "system/cpu_utilization_percentage")
    assert len(percentages) >= 2
    assert all(0 <= value <= 100 * os.cpu_count() for _, value in percentages)  # type: ignore[operator]


def test_metrics_never_raise(home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = tmp_path / "ws"
    journal = Journal(workspace, open_run(workspace, "chat", "k", {}, {}))
    (workspace / FILE).mkdir()
    journal.metrics({"a": 1.0}, 5)
    (workspace / FILE).rmdir()
    assert "metrics of step 5 are lost" in caplog.text
    assert journal.close(5) == 0


def test_a_torn_line_takes_no_other_with_it(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = tmp_path / "ws"
    run_id = open_run(workspace, "chat", "k", {}, {})
    whole = json.dumps({"run_id": run_id, "time_ms": 1000, "step": 1, "metrics": {"a": 1.0}})
    torn = whole[:-9]
    # Of an older version, which wrote on; what a disk has that lost its power; one of today.
    (workspace / FILE).write_text(f"{torn}{whole}\n" + "\0" * 16 + f"\n{whole}\n")
    with follow(workspace, run_id, flush_timeout_s=10) as journal:
        with (workspace / FILE).open("a") as file:
            file.write(torn)
        journal.metrics({"a": 2.0}, 2)
        with (workspace / FILE).open("a") as file:
            file.write(torn)
    assert history(run_id, "a") == [(1, 1.0), (2, 2.0)]
    assert caplog.text.count("is no line of a journal") == 3
    assert not (workspace / FILE).exists()


def test_a_cursor_that_cannot_be_written_keeps_no_metric_back(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = tmp_path / "ws"
    run_id = open_run(workspace, "chat", "k", {}, {})
    (workspace / CURSOR).with_suffix(".partial").mkdir()
    with follow(workspace, run_id, flush_timeout_s=10) as journal:
        journal.metrics({"a": 1.0}, 1)
    assert history(run_id, "a") == [(1, 1.0)]
    assert "can't be put down" in caplog.text
    assert not (workspace / FILE).exists()
