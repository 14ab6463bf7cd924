"""Secrets of the environment and of URLs are in no file, log or database that Retune leaves."""

import logging
import os
import traceback
from pathlib import Path

import pytest

from tasks.errors import RetuneError
from tests.registering import pipeline, registered
from tests.tracking.conftest import Server

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's own code

SECRET = "planted-5f0c9d"


def test_a_secret_of_environment_or_url_is_kept_nowhere(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from tasks.tracking.connection import connect, retry_while_down

    caplog.set_level(logging.DEBUG, "retune")
    uri = os.environ["MLFLOW_TRACKING_URI"].replace("http://", f"http://ana:{SECRET}@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PREFECT_API_KEY", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, f"{SECRET}-{name}")
    artifact, result = registered(pipeline(tmp_path / "home" / "workspaces" / "chat"))
    assert result["decision"]["promote"]
    assert "127.0.0.1" in (artifact.path / "version.json").read_text()

    server.kill()
    with pytest.raises(RetuneError) as raised:
        retry_while_down(lambda: connect().get_run("none"), timeout_s=0.1)
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert SECRET not in caplog.text
    assert SECRET not in "".join(capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 50  # workspace, artifacts, reports, the server's database and its log
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
