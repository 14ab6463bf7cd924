"""A hook that removes what Prefect keeps of a failed flow: its error, as a file that nobody reads.

@flow(name="watch", persist_result=False, result_serializer="json", on_failure=[forget])

Prefect writes the error whatever `persist_result` says, and pickles it unless it is told another
serializer. The message stays: in the state, in the log and, from a terminal, in the traceback.
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
