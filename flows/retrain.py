"""The flow for a schedule or a trigger: is there new data? Then train, judge, promote or keep.

retrain("configs/recipes/support_chat.yaml")
-> {"recipe": "support-chat", "model": "support-summarizer", "outcome": "nothing new",
    "reasons": ["The data are those of version 3."], "reference": "3", "result": null}
"""

import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.states import Completed
from pydantic import Field

from flows import stages
from flows.finetune import finetune, run_name
from flows.forget import NOTHING_KEPT, forget
from flows.held import held
from flows.news import News, look
from flows.notify import notify
from flows.watch import announce_again
from tasks.config import load_recipe
from tasks.data.profile import profile, shifts
from tasks.errors import BadInput, NeedsApproval
from tasks.home import prepare_environment, workspace_of
from tasks.tracking.reference import profile_of, remember_sources, weights_of
from tasks.tracking.registry import by_version

Outcome = Literal["nothing new", "promoted", "kept", "refused"]

APPROVAL_TIMEOUT_S = 7 * 24 * 3600
STATE_NAMES = {
    "nothing new": "NothingNew", "promoted": "Promoted", "kept": "Kept", "refused": "Refused",
}  # fmt: skip

logger = logging.getLogger("retune")


class DataApproval(RunInput):
    """The form that a suspended retraining shows on Prefect's page."""

    approve: bool = Field(description="Train on these data?")
    approved_by: str = Field(min_length=1, description="Your name, for the record.")
    comment: str = Field(default="", description="Why, if you like.")


def _notify_of_failure(flow: Any, flow_run: Any, state: State[Any]) -> None:
    """Notify of a run that failed or crashed."""
    recipe = Path(flow_run.parameters["recipe"]).stem
    notify(recipe, f"the retraining {state.type.value.lower()}", [state.message or "no message"])


def _let_watch_announce_again(flow: Any, flow_run: Any, state: State[Any]) -> None:
    """Have the watcher start another one, where it may have started this one."""
    if flow_run.deployment_id is not None:
        with suppress(BadInput):  # there is no event about a recipe that can't be read
            announce_again(flow_run.parameters["recipe"])


@flow(
    name="retrain",
    flow_run_name=run_name,
    on_crashed=[_notify_of_failure, _let_watch_announce_again],
    **NOTHING_KEPT | {"on_failure": [_notify_of_failure, _let_watch_announce_again, forget]},
)
def retrain(
    recipe: str, overrides: list[str] | None = None, approve: bool = False, force: bool = False
) -> Any:
    """Fine-tune on the newest data of a recipe, if they are new, and promote or keep the result.

    Args:
        recipe: Path of the recipe.
        overrides: `dotted.key=value` each, in place of what the recipe says.
        approve: Train also on data that changed more than `retrain.max_shift` allows.
        force: Go on also where the data are those of the champion or of the newest version; what
            nothing changed for is reused.

    Returns:
        What `retune retrain --json` prints.

    Raises:
        BadInput: Recipe, data, prompts or model can't be used, or another run holds the workspace.
        NeedsApproval: The data changed too much, and there is no deployment to be suspended.
        ChildFailed: Training or scoring ended abnormally, its retries included.
    """
    prepare_environment()
    logger.setLevel(logging.INFO)
    with held(workspace_of(load_recipe(recipe, overrides or []).name)):
        news = look(recipe, overrides or [])  # only now: who held it may have trained on them
        if news.same_as and not force:
            reason = f"The data are those of version {news.same_as.version}."
            return _ended(news, "nothing new", [reason])
        shifted = _shifts(news)
    if shifted and not approve:
        answer = _asked(news, shifted)
        if not answer.approve:
            said = f"{answer.approved_by} did not agree. {answer.comment}".strip()
            return _ended(news, "refused", [*shifted, said])
    result = finetune(recipe, [*(overrides or []), *news.pins, *_start(news)])
    if result["stages"]["register"]["state"] == "reused":
        return _known(news, result)
    decision = result["decision"]
    return _ended(news, "promoted" if decision["promote"] else "kept", decision["reasons"], result)


def _shifts(news: News) -> tuple[str, ...]:
    """Make the examples, which are reused, and compare them with those of the reference."""
    recipe, workspace = news.recipe, workspace_of(news.recipe.name)
    records = stages.ingest(recipe, workspace)
    parts = stages.split(recipe, workspace, stages.template(recipe, workspace, records))
    known = profile_of(news.reference, workspace / ".reference") if news.reference else None
    shutil.rmtree(workspace / ".reference", ignore_errors=True)
    if known is None:
        return ()
    return shifts(known, profile(records.path, parts.path), recipe.retrain.max_shift)


def _asked(news: News, shifted: tuple[str, ...]) -> DataApproval:
    """Suspend the run, which frees worker and GPU; it is run again when a person has answered."""
    version = news.reference.version if news.reference else "-"
    headline = f"the data differ from those of version {version}: approve before they are used"
    if not runtime.deployment.id:
        lines = "\n".join(f"  {reason}" for reason in shifted)
        raise NeedsApproval(f"{headline}\n{lines}\nLook at them; `--approve` trains on them.")
    reasons = "\n".join(f"- {reason}" for reason in shifted)
    form = DataApproval.with_initial_data(description=f"# {news.recipe.name}\n\n{reasons}")
    if runtime.flow_run.run_count <= 1:
        notify(news.recipe.name, headline, shifted)
    key = f"data-{news.digest[:16]}"  # an answer is about these data and no others
    return suspend_flow_run(wait_for_input=form, timeout=APPROVAL_TIMEOUT_S, key=key)


def _start(news: News) -> list[str]:
    """The override that has training start from the champion, where the recipe says so."""
    if news.recipe.retrain.start_from == "base":
        return []
    if news.champion is None:
        logger.info("retrain: there is no champion to start from; training starts from the base")
        return []
    number = news.champion.version
    logger.info("retrain: training starts from the weights of version %s, the champion", number)
    folder = workspace_of(news.recipe.name) / ".champion"
    shutil.rmtree(folder, ignore_errors=True)
    return [f"base_model.start_from='{weights_of(news.champion, folder)}'"]


def _known(news: News, result: dict[str, Any]) -> State[dict[str, Any]]:
    """Nothing was trained: another export of the same records, say, or the same data again."""
    version = by_version(result["model"], str(result["version"]))
    remember_sources(version, news.sources)
    return _ended(news, "nothing new", [f"The records are those of version {version.version}."])


def _ended(
    news: News, outcome: Outcome, reasons: list[str], result: dict[str, Any] | None = None
) -> State[dict[str, Any]]:
    document = {
        "recipe": news.recipe.name,
        "model": news.recipe.registry.model,
        "outcome": outcome,
        "reasons": list(reasons),
        "reference": news.reference.version if news.reference else None,
        "result": result,
    }
    headline = f"version {result['version']} {outcome}" if result else outcome
    if outcome == "nothing new":
        logger.info("%s: nothing new. %s", news.recipe.name, reasons[0])
    else:
        notify(news.recipe.name, headline, reasons)
    return Completed(name=STATE_NAMES[outcome], message=headline, data=document)
