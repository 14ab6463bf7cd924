"""A part of the split's examples to train on: some rows, or all of them in one phrasing.

    stage_of(Way("full_125", recipe, rows=125))  ->  split/{train,validation,test}.parquet

The validation side stays the same but for its phrasing, so that a checkpoint is chosen by the same
rows; the test side is the split's own.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.compare.ways import Way
from tasks.config import Section
from tasks.prompts.of_task import TaskPrompts
from tasks.scoring.job import prompts_of_tasks
from tasks.scoring.phrasings import in_one_phrasing, some
from tasks.stage import Counted, Inputs, Output, Stage


class PartialSection(Section):
    """Which part."""

    rows: int | None
    """Number of training examples of each task, chosen by the hash of their ids; null for all."""

    phrasing: dict[str, TaskPrompts]
    """Task -> the file of whose phrasings the first is used; empty to leave phrasings alone."""


def write(section: PartialSection, inputs: Inputs, output: Output) -> Counted:
    """Write the three sides of a split."""
    shutil.copy(inputs["split"] / "test.parquet", output.path)
    counts = {}
    for side in ("train", "validation"):
        table = pq.read_table(inputs["split"] / f"{side}.parquet")
        if section.phrasing:
            table = _in_one_phrasing(table, section, inputs["ingest"])
        if section.rows is not None and side == "train":
            table = _some(table, section.rows)
        pq.write_table(table, output.path / f"{side}.parquet")
        counts[side] = table.num_rows
    return Counted(sum(counts.values()), counts)


def _some(table: pa.Table, rows: int) -> pa.Table:
    ids, tasks = table["id"].to_pylist(), table["task"].to_pylist()
    kept = {
        (task, row)
        for task in set(tasks)
        for row in some([row for row, of in zip(ids, tasks, strict=True) if of == task], rows)
    }
    return table.filter([key in kept for key in zip(tasks, ids, strict=True)])


def _in_one_phrasing(table: pa.Table, section: PartialSection, records: Path) -> pa.Table:
    rows = table.to_pylist()
    examples = []
    for task, file in section.phrasing.items():
        prompts = file.load()
        only = replace(prompts, templates=prompts.training[:1])
        ids = [row["id"] for row in rows if row["task"] == task]
        examples += in_one_phrasing(task, only, 0, records / f"{task}.parquet", ids)
    return pa.Table.from_pylist(examples, schema=table.schema)


def stage_of(way: Way) -> Stage[PartialSection]:
    """The stage that makes what a way trains on; a split to all who read it."""
    phrasing = prompts_of_tasks(way.recipe) if way.one_phrasing else {}
    section = PartialSection(rows=way.rows, phrasing=phrasing)
    return Stage("split", "1", ("ingest", "split"), lambda recipe: section, write)
