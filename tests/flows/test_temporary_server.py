"""The server of one command: there when asked for, gone with its process, however that ends."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.configured_server import is_configured
from flows.local_server import wait_until_ready
from flows.temporary_server import temporary_server
from tasks.errors import BadInput, BadWorkspace, RetuneError

PROGRAM = """
import os, time
from flows.temporary_server import temporary_server
with temporary_server() as wait_until_ready:
    wait_until_ready()
    print(os.environ["PREFECT_API_URL"], flush=True)
    time.sleep(600)
"""


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/health")
        with connection.getresponse() as response:
            return response.status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    # A company's proxy must not be asked for the server on this machine.
    environment |= {"PREFECT_HOME": str(tmp_path), "HTTP_PROXY": "http://127.0.0.1:9"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout
    with process.stdout:
        port = int(process.stdout.readline().split(":")[2].split("/")[0])
    assert answers(port)
    assert (tmp_path / "prefect.db").exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while answers(port):
        assert time.monotonic() < deadline, "the server is still there"
        time.sleep(0.1)


def test_a_server_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_PROFILE", raising=False)
    (tmp_path / "prefect.db").write_text("no database at all, but a text of some length" * 50)
    with temporary_server() as wait_until_ready, pytest.raises(RetuneError, match="server ended"):
        wait_until_ready()
    assert "PREFECT_API_URL" not in os.environ


def test_a_server_that_has_no_room_is_told_of_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "server.log"
    log.touch()  # the server could not write into it
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(BadWorkspace, match="No space left on device"):
        wait_until_ready("server", process, "http://127.0.0.1:1/health", log)


def test_a_server_of_the_users_own_is_used_if_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_PROFILE", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert not is_configured()
    (tmp_path / "profiles.toml").touch()
    assert is_configured()
    (tmp_path / "profiles.toml").unlink()
    url = "http://127.0.0.1:1/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    with temporary_server() as wait_until_ready, temporary_settings({PREFECT_API_URL: url}):
        with pytest.raises(BadInput, match=r"(?s)a Prefect server that answers.*http://HOST"):
            wait_until_ready()
        assert os.environ["PREFECT_API_URL"] == url
