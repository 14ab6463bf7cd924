"""Both servers behind passwords and TLS: who has neither is refused, who has them can work."""

import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from flows.local_server import HOST
from tests.integration.conftest import COMMAND, REPOSITORY, environment
from tests.registering import pipeline, registered
from tests.servers import Service, mlflow_server, prefect_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MLflow's own code
]
SECRET = "planted-62fd0a"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for this machine's own address."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return folder / "cert.pem"


class TlsProxy(socketserver.ThreadingTCPServer):
    """Ends TLS before a server, as nginx or an ingress does."""

    daemon_threads = True

    def __init__(self, certificate: Path, server: Service) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        self.behind = int(server.url.rpartition(":")[2])
        super().__init__((HOST, 0), Connection)
        self.url = f"https://{HOST}:{self.server_address[1]}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        with suppress(OSError), self.context.wrap_socket(request, server_side=True) as encrypted:
            super().finish_request(encrypted, client_address)


class Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with socket.create_connection((HOST, self.server.behind)) as behind:  # type: ignore[attr-defined]
            back = threading.Thread(target=forward, args=(behind, self.request))
            back.start()
            forward(self.request, behind)
            back.join()


def forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def behind_tls(server: Service, certificate: Path) -> Iterator[str]:
    """Address of a server that is started, behind TLS."""
    server.start()
    try:
        server.wait()
        with TlsProxy(certificate, server) as proxy:
            threading.Thread(target=proxy.serve_forever, daemon=True).start()
            try:
                yield proxy.url
            finally:
                proxy.shutdown()
    finally:
        server.kill()


@pytest.fixture
def mlflow(tmp_path: Path, empty_database: Path, certificate: Path) -> Iterator[str]:
    folder = tmp_path / "mlflow"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    secrets = {"MLFLOW_AUTH_ADMIN_PASSWORD": SECRET, "MLFLOW_FLASK_SERVER_SECRET_KEY": SECRET}
    server = mlflow_server(
        folder, f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"), **secrets
    )
    server.command += ["--app-name", "basic-auth"]
    with behind_tls(server, certificate) as url:
        yield url


def test_mlflow_takes_those_who_have_the_password(
    mlflow: str, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = f"{mlflow}/api/2.0/mlflow/registered-models/search"
    assert requests.get(search, verify=str(certificate), timeout=60).status_code == 401
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(search, timeout=60)
    monkeypatch.setenv("RETUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
    _, result = registered(pipeline(tmp_path / "home" / "workspaces" / "chat"))
    assert (result["version"], result["decision"]["promote"]) == ("1", True)
    assert_untold(tmp_path)


@pytest.fixture
def prefect(tmp_path: Path, certificate: Path) -> Iterator[str]:
    server = prefect_server(tmp_path / "prefect", PREFECT_SERVER_API_AUTH_STRING=f"retune:{SECRET}")
    with behind_tls(server, certificate) as url:
        yield url


def test_prefect_takes_those_who_have_the_password(
    prefect: str, certificate: Path, tmp_path: Path
) -> None:
    flows = f"{prefect}/api/flows/filter"
    assert requests.post(flows, json={}, verify=str(certificate), timeout=60).status_code == 401
    told = {
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_API_SSL_CERT_FILE": str(certificate),
    }
    refused = deployed(tmp_path / "home", told)
    assert refused.returncode == 2, refused.stderr
    assert "PREFECT_API_AUTH_STRING" in refused.stderr
    told["PREFECT_API_AUTH_STRING"] = f"retune:{SECRET}"
    done = deployed(tmp_path / "home", told)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert_untold(tmp_path)


def deployed(home: Path, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, "deploy"], cwd=REPOSITORY, env={**environment(home), **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def assert_untold(folder: Path) -> None:
    """No file, of the clients' or of the servers', has the password."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
