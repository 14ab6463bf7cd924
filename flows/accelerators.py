"""The accelerators of a site: so many stages compute with a model at once as it has.

    with accelerator():        # waits until one is free
        stage.run(section, inputs)

The slot is leased: one that a killed run held is free again some seconds after `LEASE_S`. A limit
on a tag of Prefect's would be held for ever.
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
    """Hold one of the accelerators for a block; where the server has no limit, nothing waits."""
    with get_client(sync_client=True) as client:
        names = [LIMIT] if num_accelerators(client) is not None else []
    # A server that is away for a while must not end a training: the lease may then expire.
    with concurrency(names, lease_duration=LEASE_S, raise_on_lease_renewal_failure=False):
        yield


def num_accelerators(client: SyncPrefectClient) -> int | None:
    """How many may be in use at once; None where there is no limit."""
    try:
        return client.read_global_concurrency_limit_by_name(LIMIT).limit
    except ObjectNotFound:
        return None
