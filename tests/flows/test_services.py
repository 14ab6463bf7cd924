"""What `retune up` makes of an MLflow server of the user's own."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows.services import _mlflow

SECRET = "planted-8f02d1"


class Refuses(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(HTTPStatus.UNAUTHORIZED)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that wants a password."""
    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("scheme", "answers"), [("http", True), ("https", False)])
def test_it_is_watched_and_its_password_is_not_told(
    scheme: str, answers: bool, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://ana:{SECRET}@127.0.0.1:{port}/")
    service = _mlflow(tmp_path, None, ExitStack())
    assert service.process is None
    assert service.address == f"{scheme}://127.0.0.1:{port}/"
    assert service.answers() is answers
    assert SECRET not in repr(service)


def test_the_password_of_a_database_is_in_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr("flows.services._started", lambda *given: started.append(given))
    monkeypatch.setattr("tasks.tracking.database.prepare_database", lambda uri: None)
    uri = f"postgresql://ana:{SECRET}@127.0.0.1/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    _mlflow(tmp_path, None, ExitStack())
    [(_, _, _, command, environment, _)] = started
    assert SECRET not in " ".join(command)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == uri
