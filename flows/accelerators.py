"""Limits how many stages use an accelerator at the same time, across all workers of a site.

    with accelerator():        # waits until one is free
        stage.run(section, inputs)

A slot is leased: one held by a killed run is released a few seconds after `LEASE_S`. A slot of
Prefect's tag-based limits would stay taken forever.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound

LIMIT = "accelerator"
"""Prefect's global concurrency limit, which `retune deploy` makes."""

LEASE_S = 60.0


@contextmanager
def accelerator() -> Iterator[None]:
    """Hold one accelerator for a block; does not wait where the server has no limit."""
    with get_client(sync_client=True) as client:
        names = [LIMIT] if num_accelerators(client) is not None else []
    # An outage of the server must not end a training; the lease may expire instead.
    with concurrency(names, lease_duration=LEASE_S, raise_on_lease_renewal_failure=False):
        yield


def num_accelerators(client: SyncPrefectClient) -> int | None:
    """How many accelerators may be in use at once; None without a limit."""
    try:
        return client.read_global_concurrency_limit_by_name(LIMIT).limit
    except ObjectNotFound:
        return None
