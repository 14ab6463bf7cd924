"""A webhook on this machine is told how a retraining went; without it the retraining goes on."""

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect import flow

from flows.notify import notify
from flows.retrain import retrain
from tasks.errors import BadRecipe

pytestmark = pytest.mark.usefixtures("prefect_server")

telling = flow(name="telling")(notify)


@dataclass
class Webhook:
    """What was posted to it, and what it answers."""

    url: str = ""
    status: int = 200
    texts: list[str] = field(default_factory=list)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    known = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known.texts.append(body["text"])
            self.send_response(known.status)
            self.end_headers()

        def log_message(self, *told: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        known.url = f"http://127.0.0.1:{server.server_port}/planted-9c31"
        monkeypatch.setenv("RETUNE_NOTIFY", known.url)
        yield known
        server.shutdown()
        thread.join()


def test_a_retraining_that_fails_is_told(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETUNE_HOME", str(tmp_path / "home"))
    with pytest.raises(BadRecipe):
        retrain(str(tmp_path / "support_chat.yaml"))
    [text] = webhook.texts
    assert text.startswith("**support_chat**: the retraining failed\n")
    assert "no such file" in text


def test_what_was_decided_is_told_with_its_reasons(webhook: Webhook) -> None:
    telling("support-chat", "version 3 promoted", ["rougeL rose.", "Nothing was forgotten."])
    expected = "**support-chat**: version 3 promoted\n\n- rougeL rose.\n- Nothing was forgotten."
    assert webhook.texts == [expected]


def test_a_webhook_that_fails_is_a_warning_without_its_address(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "retune")
    webhook.status = 500
    telling("support-chat", "version 3 kept")
    assert "nobody could be notified (HTTPError)" in caplog.text
    assert "planted" not in caplog.text
