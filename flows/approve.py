"""Answers, from a terminal, a flow run that waits for a person's approval.

answer("5d41c1b0-...", True, "Ana", "checked the export")
"""

from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import resume_flow_run

from flows.configured_server import check_server
from tasks.errors import BadInput


def answer(flow_run: str, approve: bool, who: str, comment: str) -> dict[str, Any]:
    """Resume a paused or suspended flow run with an answer.

    Args:
        flow_run: Its id.
        approve: Yes or no.
        who: Who answers.
        comment: Why.

    Returns:
        `id` and `name` of the flow run.

    Raises:
        BadInput: `who` is empty, there is no server, no such run, or it does not wait for approval.
    """
    if not who.strip():
        raise BadInput("--by", "the name of who answers", "none")
    check_server()
    mend = "`prefect flow-run ls --state-type PAUSED` lists those that wait"
    with get_client(sync_client=True) as client:
        try:
            found = client.read_flow_run(UUID(flow_run))
        except (ValueError, ObjectNotFound):
            raise BadInput(flow_run, "the id of a flow run", "none", mend) from None
    if found.state is None or not found.state.is_paused():
        state = found.state.name if found.state else None
        raise BadInput(flow_run, "a flow run that waits for approval", state or "none", mend)
    resume_flow_run(found.id, {"approve": approve, "approved_by": who, "comment": comment})
    return {"id": str(found.id), "name": found.name}
