"""Accelerators are leased from Prefect's server: no more at once than the site has."""

import threading
import time
from collections.abc import Iterator
from contextvars import copy_context

import pytest
from prefect.client.orchestration import get_client

from flows.accelerators import LIMIT, accelerator, num_accelerators

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def one_accelerator() -> Iterator[None]:
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(LIMIT, 1)
        assert num_accelerators(client) == 1
        yield
        client.delete_global_concurrency_limit_by_name(LIMIT)


def test_where_there_is_no_limit_nothing_waits(caplog: pytest.LogCaptureFixture) -> None:
    with get_client(sync_client=True) as client:
        assert num_accelerators(client) is None
    with accelerator(), accelerator():
        pass
    assert caplog.text == ""


def test_the_second_waits_for_the_first(one_accelerator: None) -> None:
    happened: list[str] = []

    def second() -> None:
        with accelerator():
            happened.append("second starts")

    with accelerator():
        waiting = threading.Thread(target=copy_context().run, args=(second,))
        waiting.start()
        time.sleep(1.5)
        happened.append("first ends")
    waiting.join(60)
    assert happened == ["first ends", "second starts"]
