"""What is told at once of a database or server that can't be used, and what is waited for."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, UNAUTHENTICATED

from tasks.errors import BadInput
from tasks.tracking.connection import check_store, connect, retry_while_down
from tasks.tracking.registry import all_versions


@pytest.mark.parametrize("code", [UNAUTHENTICATED, PERMISSION_DENIED])
def test_a_server_that_wants_a_password_is_told(code: int) -> None:
    def refused() -> None:
        raise MlflowException("failed with error code 401", code)

    with pytest.raises(BadInput, match="MLFLOW_TRACKING_USERNAME"):
        retry_while_down(refused)


def test_a_server_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:planted@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    with pytest.raises(BadInput, match="found +no answer") as raised:
        check_store()
    assert "planted" not in str(raised.value)


def test_a_database_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", "postgresql+psycopg2://ana:planted@127.0.0.1:1/mlflow"
    )
    with pytest.raises(BadInput, match="a database that answers") as raised:
        check_store()
    assert "postgresql+psycopg2://127.0.0.1:1/mlflow" in str(raised.value)
    assert "planted" not in str(raised.value)


@pytest.mark.parametrize("uri", ["foo://user:planted@x", "./mlruns", "file:///tmp/mlruns"])
def test_what_mlflow_has_no_store_for_is_told(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(BadInput, match=r"http://HOST:PORT[\s\S]*sqlite:///FILE") as raised:
        connect()
    assert "planted" not in str(raised.value)


@pytest.fixture
def page() -> Iterator[str]:
    """Address of a server that shows the same page, whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>planted</html>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_is_not_mlflow_is_told(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", page)
    with pytest.raises(BadInput, match="an MLflow server that answers") as raised:
        all_versions()
    assert "planted" not in str(raised.value)
