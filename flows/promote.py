"""The flows that move the alias `champion`: promote the challenger, and roll back.

promote("support-summarizer")
-> {"model": "support-summarizer", "version": "4", "was": "3", "state": "promoted",
    "decision": {"promote": true, "reasons": ["rougeL rose from 0.05 to 0.34 (...).", ...]},
    "evidence_run": "5d41...", "move": {"action": "promote", "who": "ana@gpu-1", ...}}
"""

import logging
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from flows.accelerators import accelerator
from flows.artifact_key import artifact_key
from flows.forget import NOTHING_KEPT
from flows.stage_task import child_crashed, retry_condition
from tasks import forgetting, holdout
from tasks.errors import BadModel
from tasks.home import prepare_environment, scratch_folder
from tasks.tracking import promotion, registry
from tasks.tracking.decision import Decision, awaiting_approval
from tasks.tracking.judging import Judged, judge_version
from tasks.tracking.promotion import Move
from tasks.tracking.registry import Version

DAY_S = 24 * 3600
POLL_S = 5

SCORED_BY = {"test": holdout.VERSION, "forgetting": forgetting.VERSION}
"""Stage -> the version of it by which a champion would be scored now."""

State = Literal["promoted", "refused", "awaiting_approval", "unchanged"]


class Approval(RunInput):
    """The form that a paused promotion shows on Prefect's page."""

    approve: bool = Field(description="Make this version the champion?")
    approved_by: str = Field(min_length=1, description="Your name, for the audit line.")
    comment: str = Field(default="", description="Why, if you like; it goes into the audit line.")


@dataclass(frozen=True)
class Agreed:
    """What a person said to a promotion: yes, no, or nothing in time (None)."""

    promote: bool | None
    who: str = ""
    comment: str = ""


@flow(
    name="promote",
    flow_run_name="{model}",
    **NOTHING_KEPT,
)
def promote(
    model: str, approve: bool = False, override: str = "", wait_for_approval_s: int = DAY_S
) -> dict[str, Any]:
    """Judge the challenger of a model against its champion, and make it champion if it passes.

    Args:
        model: The registered model.
        approve: Promote at once what else would wait for a person's approval.
        override: Promote what failed a gate, for this reason, which is recorded.
        wait_for_approval_s: How long the flow run stays paused for an approval, in seconds; 0
            ends it at once, to be run again with `approve`.

    Returns:
        What `retune promote --json` prints.

    Raises:
        BadInput: There is no challenger, or no evidence for it, or the champion changed meanwhile.
    """
    prepare_environment()
    logging.getLogger("retune").setLevel(logging.INFO)
    version = registry.challenger_of(model)
    if registry.CHAMPION in version.aliases:
        result = _unchanged(version)
    else:
        judged = _judge(version, bool(override))
        agreed = _agreed(judged, approve or bool(override), wait_for_approval_s)
        result = _settled(judged, agreed, override)
    _show(result)
    return result


@flow(
    name="rollback",
    flow_run_name="{model}",
    **NOTHING_KEPT,
)
def rollback(model: str, to: str | int | None = None, reason: str = "") -> dict[str, Any]:
    """Make the version champion again that was it before.

    Args:
        model: The registered model.
        to: Version to go back to; the last champion when left out.
        reason: For the audit line.

    Returns:
        What `retune rollback --json` prints.

    Raises:
        BadInput: There is nothing to go back to.
    """
    prepare_environment()
    # `prefect deployment run --param to=1` reads a number.
    return asdict(promotion.rollback(model, None if to is None else str(to), reason))


@task(
    name="judge",
    task_run_name="judge {version.model}/{version.version}",
    retries=2,
    retry_condition_fn=retry_condition("judge", child_crashed),
    persist_result=False,
)
def _judge(version: Version, without_evidence: bool) -> Judged:
    """Judge on the evidence; a version without any is one that failed, to be overridden."""
    with scratch_folder() as scratch, accelerator():
        try:
            return judge_version(version, scratch, SCORED_BY)
        except BadModel as error:
            if not without_evidence:
                raise
            champion = registry.by_alias(version.model, registry.CHAMPION)
            found = f"It can't be judged: {error.issues[0].found}."
            return Judged(version, champion, Decision(False, (found,)), "")


def _agreed(judged: Judged, given: bool, wait_s: int) -> Agreed:
    if given or not judged.approval or not judged.decision.promote:
        return Agreed(True)
    if wait_s == 0:
        return Agreed(None)
    reasons = "\n".join(f"- {reason}" for reason in judged.decision.reasons)
    title = f"{judged.version.model} version {judged.version.version}"
    form = Approval.with_initial_data(description=f"# {title}\n\n{judged.approval}.\n\n{reasons}")
    try:
        answer = pause_flow_run(wait_for_input=form, timeout=wait_s, poll_interval=POLL_S)
    except FlowPauseTimeout:
        return Agreed(None)
    return Agreed(answer.approve, answer.approved_by, answer.comment)


def _settled(judged: Judged, agreed: Agreed, override: str) -> dict[str, Any]:
    """Move the alias where decision and approval allow it; returns what was done."""
    decision = judged.decision
    if agreed.promote is False:
        no = f"{agreed.who} did not approve. {agreed.comment}".strip()
        decision = Decision(False, (*decision.reasons, no))
    elif agreed.promote is None:
        decision = awaiting_approval(decision, judged.version.model, judged.approval)
        return _result(judged, decision, "awaiting_approval", None)
    elif agreed.comment:
        approved = f"{agreed.who} approved: {agreed.comment}"
        decision = replace(decision, reasons=(*decision.reasons, approved))
    if not decision.promote and not override:
        return _result(judged, decision, "refused", None)
    reason = "" if decision.promote else override
    move = promotion.promote(judged.version, decision, judged.champion, reason, agreed.who)
    if move is None:
        return _unchanged(registry.challenger_of(judged.version.model))
    return _result(judged, decision, "promoted", move)


def _result(judged: Judged, decision: Decision, state: State, move: Move | None) -> dict[str, Any]:
    return {
        "model": judged.version.model,
        "version": judged.version.version,
        "was": judged.champion.version if judged.champion else None,
        "state": state,
        "decision": asdict(decision),
        "evidence_run": judged.version.run_id,
        "move": asdict(move) if move else None,
    }


def _unchanged(version: Version) -> dict[str, Any]:
    since = promotion.since(version)
    decision = Decision(True, (f"Version {version.version} is the champion already{since}.",))
    return _result(Judged(version, version, decision, ""), decision, "unchanged", None)


def _show(result: dict[str, Any]) -> None:
    """Put the result where Prefect's pages show it."""
    key = artifact_key("promotion", result["model"])
    lines = [f"# {result['model']} version {result['version']}: {result['state']}", ""]
    lines += [f"- {reason}" for reason in result["decision"]["reasons"]]
    create_markdown_artifact("\n".join(lines), key=key, description="A promotion")
