"""Template: a prompt template turns each record into a prompt-completion pair.

    {"id": "9f31...", "task": "support_summary", "split": null, "group_id": null,
     "template": "plain_request", "prompt": "Summarize the following conversation.\\n\\nTom: ...",
     "completion": "Tom asks ...", "references": ["Tom asks ..."], "label": null,
     "text": "Tom: ..."}

Which phrasing a record gets depends on the record alone, so it stays when others come or go.
A record that its template can make nothing of is left out, counted, and kept with the reason in
`rejects.jsonl`; past `max_rejected` the stage fails. So it does where a split that the source
brings has no example left: rows of train would take its place, unnoticed.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.config import Recipe, Section
from tasks.data.batches import batches
from tasks.data.ready_made import without
from tasks.data.turns import spoken
from tasks.errors import BadData, BadPrompt, Issue
from tasks.progress import Bar
from tasks.prompts.library import PromptFile
from tasks.prompts.of_task import TaskPrompts
from tasks.prompts.render import RenderError, choose_template, render
from tasks.stage import Counted, Inputs, Output, Stage, logger, read_json, write_json
from tasks.stage_main import main

VERSION = "5"

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "task", "split", "group_id")]
    + [(name, pa.string()) for name in ("template", "prompt", "completion")]
    + [("references", pa.list_(pa.string())), ("label", pa.string()), ("text", pa.string())]
)


class TemplateTask(TaskPrompts):
    """What rendering one task depends on."""

    name: str
    """Name of the task."""

    max_rejected: float
    """Largest share of the records that may not fit their template."""


@dataclass
class Tally:
    """What became of the records of one task.

    Attributes:
        used: Template -> examples made with it.
        splits: Ready-made splits that have examples.
        rejects: A line of `rejects.jsonl` for each record left out.
    """

    used: Counter[str] = field(default_factory=Counter)
    splits: set[str | None] = field(default_factory=set)
    rejects: list[dict[str, str]] = field(default_factory=list)


class TemplateSection(Section):
    """What rendering depends on."""

    tasks: tuple[TemplateTask, ...]
    """The tasks, in the recipe's order."""

    seed: int
    """Seed of the choice of phrasing."""

    rehearsed: tuple[str, ...] = ()
    """Those of the tasks whose templates the registered model does not carry."""


def select(recipe: Recipe) -> TemplateSection:
    """The part of the recipe that rendering depends on."""
    tasks = tuple(
        TemplateTask(**dict(TaskPrompts.of(task)), name=task.name, max_rejected=task.max_rejected)
        for task in recipe.trained_tasks
    )
    rehearsed = tuple(task.name for task in recipe.trained_tasks[len(recipe.tasks) :])
    return TemplateSection(tasks=tasks, seed=recipe.split.seed, rehearsed=rehearsed)


def write(section: TemplateSection, inputs: Inputs, output: Output) -> Counted:
    """Render every record of every task into `examples.parquet`.

    Raises:
        BadPrompt: Too many records do not fit their template.
        BadData: A ready-made validation or test split has no example.
    """
    summary: dict[str, Any] = {}
    read = read_json(inputs["ingest"] / "summary.json")
    issues: list[Issue] = []
    (output.path / "prompts").mkdir()
    with (
        pq.ParquetWriter(output.path / "examples.parquet", SCHEMA, compression="zstd") as writer,
        (output.path / "rejects.jsonl").open("w", encoding="utf-8") as rejects,
    ):
        for task in section.tasks:
            prompts, tally = task.load(), Tally()
            for batch in _examples(inputs["ingest"], task.name, prompts, section.seed, tally):
                writer.write_table(batch)
            _check(task, prompts, tally)
            rejects.writelines(json.dumps(reject) + "\n" for reject in tally.rejects)
            summary[task.name] = {
                "examples": tally.used.total(),
                "rejected": len(tally.rejects),
                "templates": dict(tally.used),
            }
            if task.name not in section.rehearsed:
                brought: dict[str, int] = read[task.name]["ready_made"]
                unused = sorted(brought.keys() - tally.splits)
                issues += [_no_example(task.name, side, brought[side]) for side in unused]
                _keep_prompts(output.path / "prompts", task.name, prompts)
    if issues:
        raise BadData.all_of(issues)
    write_json(output.path / "summary.json", summary)
    counts = {name: entry["examples"] for name, entry in summary.items()}
    return Counted(sum(counts.values()), counts)


def _examples(
    folder: Path, task: str, prompts: PromptFile, seed: int, tally: Tally
) -> Iterator[pa.Table]:
    file = pq.ParquetFile(folder / f"{task}.parquet")
    with Bar(f"template {task}") as bar:
        for batch in bar.over(batches(file), file.metadata.num_rows, "records", len):
            yield _rendered(batch.to_pylist(), task, prompts, seed, tally)


def _rendered(
    records: Sequence[Mapping[str, Any]],
    task: str,
    prompts: PromptFile,
    seed: int,
    tally: Tally,
) -> pa.Table:
    rows, trained = [], prompts.training
    for record in records:
        template = choose_template(record["id"], trained, seed)
        try:
            rendered = render(prompts, record, template, record["references"][1:])
        except RenderError as error:
            reject = {"task": task, "template": template.name, "id": record["id"]}
            tally.rejects.append({**reject, "reason": str(error)})
            continue
        tally.used[template.name] += 1
        tally.splits.add(record["split"])
        rows.append(
            {
                "id": record["id"],
                "task": task,
                "split": record["split"],
                "group_id": record["group_id"],
                "template": template.name,
                "prompt": rendered.prompt,
                "completion": rendered.completion,
                "references": rendered.references,
                "label": rendered.completion if prompts.task == "classification" else None,
                "text": "\n".join(spoken(record[slot]) for slot in prompts.slots),
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _check(task: TemplateTask, prompts: PromptFile, tally: Tally) -> None:
    """Fail where too many records were left out, and say how many in any case."""
    num_rejected, num_records = len(tally.rejects), len(tally.rejects) + tally.used.total()
    if not num_rejected:
        return
    first = tally.rejects[0]
    where = f"{prompts.name}: template {first['template']}, record {first['id']}"
    found = f"{first['reason']}; {num_rejected} of {num_records} records do not fit"
    if num_rejected > task.max_rejected * num_records:
        expected = "a template that fits the record"
        mend = "mend the template, translate the values with source.values, or raise max_rejected"
        raise BadPrompt(where, expected, found, mend)
    logger.warning("template: %s: %s", where, found)


def _no_example(task: str, side: str, num_rows: int) -> Issue:
    return Issue(
        f"tasks: {task}: the split {side} of its source",
        "at least one record that can be used",
        f"none: each of its {num_rows:,} rows was rejected" if num_rows else "none: it has no rows",
        f"{without(side)}: rejects.jsonl of ingest has them",
    )


def _keep_prompts(folder: Path, task: str, prompts: PromptFile) -> None:
    """Write down the templates that were used, for the registered model to carry."""
    content = {
        "name": prompts.name,
        "version": prompts.version,
        "task": prompts.task,
        "slots": list(prompts.slots),
        "target": prompts.target,
        "choices": list(prompts.choices),
        "digest": prompts.digest,
        "templates": [
            {
                "name": template.name,
                "heldout": template.heldout,
                "prompt": template.prompt,
                "completion": template.completion,
            }
            for template in prompts.templates
        ],
    }
    write_json(folder / f"{task}.json", content)


STAGE = Stage("template", VERSION, needs=("ingest",), select=select, write=write)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
