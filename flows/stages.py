"""Every stage as a Prefect task: how long it may take, what is retried, what it occupies.

    records = stages.ingest(recipe, workspace)      # inside a flow

What computes with the model holds one of the site's accelerators, so that no two runs share a GPU.
"""

from flows.accelerators import accelerator
from flows.stage_task import as_task, server_away
from tasks import forgetting as forgetting_stage
from tasks import holdout as holdout_stage
from tasks import ingest as ingest_stage
from tasks import register as register_stage
from tasks import split as split_stage
from tasks import template as template_stage
from tasks import train as train_stage
from tasks import validate as validate_stage
from tasks.errors import Overtaken

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def may_register_yet(error: BaseException) -> bool:
    """Whether another attempt may mend it: a server is away, or the champion has just changed."""
    return server_away(error) or isinstance(error, Overtaken)


ingest = as_task(ingest_stage.STAGE, timeout_s=DAY_S, retries=2, is_transient=server_away)
template = as_task(template_stage.STAGE, timeout_s=DAY_S)
split = as_task(split_stage.STAGE, timeout_s=DAY_S)
train = as_task(train_stage.STAGE, timeout_s=14 * DAY_S, retries=2, holding=accelerator)
validate = as_task(validate_stage.STAGE, timeout_s=2 * DAY_S, retries=2, holding=accelerator)
test = as_task(holdout_stage.STAGE, timeout_s=2 * DAY_S, retries=2, holding=accelerator)
forgetting = as_task(forgetting_stage.STAGE, timeout_s=2 * DAY_S, retries=2, holding=accelerator)
register = as_task(
    register_stage.STAGE, timeout_s=6 * HOUR_S, retries=3, is_transient=may_register_yet
)
