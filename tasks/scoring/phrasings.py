"""The same records in several phrasings, trained on and held out.

{"id": "9f31...", "group_id": null, "task": "support_summary", "template": "heldout_recap",
 "heldout": true, "prompt": "Read the transcript, then recap it. ...", "completion": "Tom ...", ...}
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.prompts.library import PromptFile, PromptTemplate
from tasks.prompts.render import RenderError, choose_template, render
from tasks.scoring.probes import SCHEMA as EXAMPLES

SCHEMA = EXAMPLES.append(pa.field("heldout", pa.bool_()))


def chosen(prompts: PromptFile, number: int) -> tuple[PromptTemplate, ...]:
    """The first `number` phrasings, half of them held-out ones where there are as many."""
    heldout = prompts.heldout[: number // 2]
    return (*prompts.training[: number - len(heldout)], *heldout)


def phrased(
    task: str, prompts: PromptFile, number: int, records: Path, ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Examples of some records, each in every chosen phrasing.

    Args:
        task: Name of the task.
        prompts: Its prompt file.
        number: Phrasings of each record.
        records: The task's file of the ingest stage.
        ids: The records.

    Returns:
        Nothing where the task has only one phrasing; a record that does not fit a phrasing is
        left out.
    """
    templates = chosen(prompts, number)
    if len(templates) < 2:
        return []
    return _rendered(task, prompts, lambda record: templates, records, ids)


def in_one_phrasing(
    task: str, prompts: PromptFile, seed: int, records: Path, ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Examples of some records, each in one of the file's phrasings, drawn by its id.

    Args:
        task: Name of the task.
        prompts: Its prompt file, with the phrasings to draw from.
        seed: Of the draw.
        records: The task's file of the ingest stage.
        ids: The records; one that does not fit its phrasing is left out.
    """

    def drawn(record: str) -> tuple[PromptTemplate, ...]:
        return (choose_template(record, prompts.templates, seed),)

    return _rendered(task, prompts, drawn, records, ids)


def _rendered(
    task: str,
    prompts: PromptFile,
    templates_of: Callable[[str], Sequence[PromptTemplate]],
    records: Path,
    ids: Sequence[str],
) -> list[dict[str, Any]]:
    examples = []
    rows = pq.read_table(records, filters=[("id", "in", list(ids))]).to_pylist()
    # A record that stands in two ready-made splits is there twice.
    for record in {row["id"]: row for row in rows}.values():
        templates = templates_of(record["id"])
        try:
            others = record["references"][1:]
            pairs = [(each, render(prompts, record, each, others)) for each in templates]
        except RenderError:
            continue
        is_label = prompts.task == "classification"
        for template, pair in pairs:
            examples.append(
                {
                    "id": record["id"],
                    "group_id": record["group_id"],
                    "task": task,
                    "template": template.name,
                    "heldout": template.heldout,
                    "prompt": pair.prompt,
                    "completion": pair.completion,
                    "references": list(pair.references),
                    "label": pair.completion if is_label else None,
                }
            )
    return examples


def some(ids: Sequence[str], number: int) -> list[str]:
    """At most `number` records, chosen by the hash of their ids."""
    return sorted(ids, key=lambda row: hashlib.sha256(row.encode()).digest())[:number]
