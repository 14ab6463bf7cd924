"""The flow that looks for new data and emits an event, on which an automation starts `retrain`.

watch(["configs/recipes/support_chat.yaml"])
-> event retune.data.changed of the resource retune.recipe.support-chat,
   {"recipe": "configs/recipes/support_chat.yaml", "digest": "9f0c...", "reference": "3"}
"""

import json
import logging
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.events import emit_event

from flows.forget import NOTHING_KEPT
from flows.news import News, look
from tasks.config import load_recipe
from tasks.errors import BadInput, Issue
from tasks.home import prepare_environment, workspace_of
from tasks.stage import write_json

EVENT = "retune.data.changed"
FILE = "announced.json"

logger = logging.getLogger("retune")


@flow(name="watch", **NOTHING_KEPT)
def watch(recipes: list[str]) -> dict[str, str]:
    """Emit the event `retune.data.changed` for every recipe whose data are new.

    Args:
        recipes: Paths of recipes.

    Returns:
        Recipe -> what was found: `changed`, `announced` (before; its retraining did not fail) or
        `nothing new`.

    Raises:
        BadInput: A recipe or a source can't be used; the others have been looked at.
    """
    prepare_environment()
    logger.setLevel(logging.INFO)
    found: dict[str, str] = {}
    issues: list[Issue] = []
    for recipe in recipes:
        try:
            found[recipe] = _look(recipe)
        except BadInput as error:
            issues += error.issues
        else:
            logger.info("watch: %s: %s", recipe, found[recipe])
    if issues:
        raise BadInput.all_of(issues)
    return found


def announce_again(recipe: str) -> None:
    """Have the next `watch` emit the event again, since the retraining after the last one failed.

    Args:
        recipe: Path of the recipe.

    Raises:
        BadInput: The recipe can't be used.
    """
    (workspace_of(load_recipe(recipe).name) / FILE).unlink(missing_ok=True)


def _look(path: str) -> str:
    news = look(path)
    if news.same_as:
        return "nothing new"
    file = workspace_of(news.recipe.name) / FILE
    if _announced(file) == news.digest:
        return "announced"
    emit_event(
        event=EVENT,
        resource={
            "prefect.resource.id": f"retune.recipe.{news.recipe.name}",
            "prefect.resource.name": news.recipe.name,
        },
        payload=_payload(path, news),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"digest": news.digest})
    return "changed"


def _payload(path: str, news: News) -> dict[str, Any]:
    reference = news.reference.version if news.reference else None
    return {"recipe": path, "digest": news.digest, "reference": reference}


def _announced(file: Path) -> str | None:
    """The digest of the data that the last event was about."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["digest"])
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
