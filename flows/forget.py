"""The options of every flow with which Prefect keeps neither its result nor its error on disk.

@flow(name="watch", **NOTHING_KEPT)

Prefect stores the error of a failed flow whatever `persist_result` says, and pickles it unless
another serializer is set; a hook removes that file. The message stays in the state and the log.
"""

from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State
from prefect.results import ResultRecord  # type: ignore[attr-defined]


def forget(flow: Any, flow_run: Any, state: State[Any]) -> None:
    """Remove the file with the error of a failed run, where it lies on this machine's disk."""
    if not isinstance(state.data, ResultRecord):
        return  # it was the server that failed the run
    kept = state.data.metadata
    if kept.storage_block_id is None:
        Path(str(kept.storage_key)).unlink(missing_ok=True)


NOTHING_KEPT: dict[str, Any] = {
    "persist_result": False,
    "result_serializer": "json",
    "on_failure": [forget],
}
"""Keyword arguments for `prefect.flow`."""
