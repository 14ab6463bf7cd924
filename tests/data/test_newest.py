"""What names and branches on the hub mean, asked of a hub on this machine."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from huggingface_hub import constants

from tasks.config import BaseModelSection
from tasks.data.base_model import folder_of
from tasks.data.newest import newest_commit
from tasks.errors import BadData, BadModel

COMMIT = "3f2a90c1" * 5


class Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path.startswith("/api/datasets/shop/chats/revision/main")
        body = json.dumps({"id": "shop/chats", "sha": COMMIT} if known else {"error": "none"})
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Error-Code", "" if known else "RevisionNotFound")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


def test_a_branch_is_its_newest_commit(hub: None) -> None:
    assert newest_commit("shop/chats", "main") == COMMIT


def test_a_revision_that_is_not_there_is_told(hub: None) -> None:
    with pytest.raises(BadData, match="check name and revision"):
        newest_commit("shop/chats", "no-such-branch")


def test_what_can_be_no_name_on_the_hub_is_told() -> None:
    with pytest.raises(BadData, match="check name and revision"):
        newest_commit("shop/chats/2024", "main")
    with pytest.raises(BadModel, match="check name and revision"):
        folder_of(BaseModelSection(hub="shop/models/small", revision="main"))


def test_a_commit_is_itself_and_needs_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert newest_commit("shop/chats", COMMIT) == COMMIT
    with pytest.raises(BadData, match="pin the revision"):
        newest_commit("shop/chats", "main")
