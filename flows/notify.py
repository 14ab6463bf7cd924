"""Tells people how a retraining went: log, Prefect's pages, and a webhook where there is one.

`RETUNE_NOTIFY` is the URL of a webhook (Slack, Teams, Mattermost and many others take
`{"text": ...}`), or a notification block of Prefect by its slug, such as `slack-webhook/ops`. Both
are secrets: they come from the worker's environment or the block, and are never logged.
"""

import logging
import os
import re
from collections.abc import Sequence
from typing import Any

import requests
from prefect.artifacts import create_markdown_artifact
from prefect.blocks.core import Block

from flows.artifact_key import artifact_key

VARIABLE = "RETUNE_NOTIFY"
TIMEOUT_S = 10.0

logger = logging.getLogger("retune")


def notify(recipe: str, headline: str, reasons: Sequence[str] = ()) -> None:
    """Say what happened; a notification that does not arrive is a warning and no more.

    Args:
        recipe: Name of the recipe.
        headline: What happened, in a sentence.
        reasons: Why, each in a sentence.
    """
    logger.info("%s: %s", recipe, headline)
    text = "\n".join([f"**{recipe}**: {headline}", "", *(f"- {reason}" for reason in reasons)])
    key = artifact_key("retrain", recipe)
    create_markdown_artifact(text, key=key, description="How a retraining went")
    target = os.environ.get(VARIABLE)
    if not target:
        return
    try:
        _send(target, text)
    except Exception as error:  # whatever the block's service makes of it, the model is there
        # The error's text may hold the URL, and with it the secret.
        logger.warning("%s: nobody could be notified (%s)", recipe, type(error).__name__)


def _send(target: str, text: str) -> None:
    if re.match(r"https?://", target):
        requests.post(target, json={"text": text}, timeout=TIMEOUT_S).raise_for_status()
        return
    block: Any = Block.load(target)
    block.notify(text, subject="Retune")
