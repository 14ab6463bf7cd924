"""Ingest: the rows of every source become records, clean, without duplicates, bad rows set aside.

support_summary.parquet  {"id": "5a0e...", "split": null, "group_id": null,
                          "references": ["Ana meets Bo."],
                          "dialogue": "Ana: Lunch at one?", "summary": "Ana meets Bo."}
rejects.jsonl            {"task": "support_summary", "file": "chats.jsonl", "line": 8,
                          "reason": "summary is empty", "row": {"dialogue": "...", ...}}
dvc.json                 {"support_summary": {"repo": "../registry", "path": "chats.jsonl",
                          "commit": "77e1..."}}, of sources that DVC keeps
"""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq
from pydantic import field_serializer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from tasks.config import Recipe, Section, Source, TaskSection
from tasks.config.task import PLACES
from tasks.data.readers import Unreadable, with_columns
from tasks.data.ready_made import without
from tasks.data.record_files import COLUMNS, RecordFile, choose
from tasks.data.records import Layout, Needs, layout_of, records_of, split_name, split_of
from tasks.data.remarks import Remarks
from tasks.data.shapes import TURNS, BadRow
from tasks.data.sources import Part, digest_of, parts_of
from tasks.data.sources_dvc import commit
from tasks.data.splitting import JUDGING
from tasks.errors import BadData, BadPrompt, BadRecipe, Issue
from tasks.prompts.library import PromptFile
from tasks.prompts.of_task import prompts_of
from tasks.stage import Counted, Inputs, Output, Stage, logger, write_json
from tasks.stage_main import main

VERSION = "6"
REJECTS = "rejects.jsonl"
REVISIONS = "dvc.json"

_MAX_REASONS = 20
_MAX_NAMES = 10
_SHOWN_REJECTS = 3
_AT_COLUMN = re.compile(r" at column \d+$")
_PROGRESS_ROWS = 2_000
_MAY_BE_EMPTY = {"instruction": ("input",)}


class IngestTask(Section):
    """What the records of one task depend on."""

    name: str
    """Name of the task."""

    source: Source
    """Where its rows are, and how to read them."""

    needs: Needs
    """What its prompts need of each record."""

    max_examples: int | None
    """Most records to keep, those of a ready-made validation or test split not counted."""

    max_rejected: float
    """Largest share of unusable rows, from 0 to 1."""

    @field_serializer("source")
    def _without_places(self, source: Source) -> dict[str, Any]:
        """Leave out of the stage's key where the bytes lie: their digests are in it."""
        return source.model_dump(mode="json", exclude=PLACES)


class IngestSection(Section):
    """What ingest depends on, with the digests of the sources."""

    tasks: tuple[IngestTask, ...]
    """The tasks, in the recipe's order."""


def select(recipe: Recipe) -> IngestSection:
    """The part of the recipe that ingest depends on.

    Raises:
        BadPrompt: A prompt file is not usable.
        BadRecipe: A source maps a field that its prompts do not have.
    """
    return IngestSection(tasks=tuple(_resolved(task) for task in recipe.trained_tasks))


def files(section: IngestSection) -> dict[str, str]:
    """Digest of the content of each task's source.

    Raises:
        BadData: A source that is not there.
    """
    return {f"source of {task.name}": digest_of(task.source) for task in section.tasks}


def write(section: IngestSection, inputs: Inputs, output: Output) -> Counted:
    """Read every source into `<task>.parquet`, with `rejects.jsonl` and `summary.json`.

    Raises:
        BadData: A source cannot be read, has no rows or too many bad ones; the bad rows are
            then in `ingest-rejects.jsonl` in the workspace.
    """
    summary: dict[str, dict[str, Any]] = {}
    kept_rejects = inputs.workspace / f"ingest-{REJECTS}"
    kept_rejects.unlink(missing_ok=True)
    rejects_path = output.path / REJECTS
    with rejects_path.open("w", encoding="utf-8", errors="backslashreplace") as rejects:
        for task in section.tasks:
            intake = _Intake(task, rejects)
            intake.read(output)
            rejects.flush()
            if intake.num_rejected > task.max_rejected * intake.num_read:
                shutil.copy(rejects_path, kept_rejects)
                raise intake.too_many_rejected(kept_rejects)
            summary[task.name] = intake.summary(output.path / f"{task.name}.parquet")
            logger.info("ingest: %s: %s", task.name, intake.in_words(summary[task.name]))
            for remark in summary[task.name]["remarks"]:
                logger.warning("ingest: %s: %s", task.name, remark)
    write_json(output.path / "summary.json", summary)
    if revisions := _revisions(section):
        write_json(output.path / REVISIONS, revisions)
    counts = {name: entry["rows"] for name, entry in summary.items()}
    totals = {key: sum(e[key] for e in summary.values()) for key in ("rejected", "duplicates")}
    return Counted(sum(counts.values()), counts | totals)


class _Intake:
    """Reads one task, and counts."""

    def __init__(self, task: IngestTask, rejects: TextIO) -> None:
        self.task = task
        self.rejects = rejects
        self.num_read = self.num_rejected = self.num_duplicates = self.num_files = 0
        self.num_records = 0
        self.remarks = Remarks(task.source, task.needs)
        self.reasons: Counter[str] = Counter()
        self.sides: Counter[str | None] = Counter()
        self.usable: set[str | None] = set()
        self.names: set[str] = set()
        self.first_rejects: list[str] = []

    def read(self, output: Output) -> None:
        """Read all parts of the source into the task's record file."""
        task, path = self.task, output.path / f"{self.task.name}.parquet"
        fields = dict.fromkeys((*task.needs.fields, task.needs.target))
        target = path if task.max_examples is None else output.scratch / path.name
        with RecordFile(target, tuple(fields)) as records, _progress() as progress:
            bar = progress.add_task(f"ingest {task.name}", total=None)
            for part in parts_of(task.source, output.scratch):
                self.num_files += 1
                self._read_part(
                    part, records, lambda: progress.update(bar, completed=self.num_read)
                )
        self.num_duplicates = records.num_duplicates
        self._check_splits()
        if self.num_read == 0:
            mend = "check the source; a file with a header alone has no rows"
            raise BadData(f"the source of {task.name}", "rows", "none", mend)
        if task.max_examples is not None:
            # A conversation is trained on in one pass. Few groups of a column are little to learn
            # from, and may be too few to divide.
            choose(target, path, task.max_examples, task.source.group_column is None)

    def summary(self, path: Path) -> dict[str, Any]:
        """What was counted: without paths, so that it is the same wherever the data lies."""
        common = self.reasons.most_common(_MAX_REASONS)
        reasons = dict(sorted(common, key=lambda item: (-item[1], item[0])))
        if len(self.reasons) > _MAX_REASONS:
            reasons["other reasons"] = self.num_rejected - sum(reasons.values())
        with pq.ParquetFile(path) as records:
            num_rows = records.metadata.num_rows
        return {
            "rows": num_rows,
            "read": self.num_read,
            "rejected": self.num_rejected,
            "duplicates": self.num_duplicates,
            "not_chosen": self.num_records - self.num_duplicates - num_rows,
            "reasons": reasons,
            # Those of which no row can be used are among them.
            "ready_made": self._ready_made(),
            "remarks": self.remarks.in_words(),
        }

    def _ready_made(self) -> dict[str, int]:
        """Side -> rows read, of the ready-made splits that judge the model."""
        return {side: self.sides[side] for side in JUDGING if side in self.sides}

    def _check_splits(self) -> None:
        """Fail where the recipe names values of the split column that no row has."""
        source = self.task.source
        missing = sorted(source.splits.keys() - self.names) if source.split_column else []
        if missing:
            others = ", ".join(sorted(self.names))
            expected = f"rows of the splits of source.splits: {', '.join(missing)}"
            found = f"only {others} in the column {source.split_column}"
            mend = "name splits that are there"
            raise BadData(f"the source of {self.task.name}", expected, found, mend)

    def in_words(self, summary: Mapping[str, Any]) -> str:
        """What was counted, for the log."""
        text = f"{summary['rows']:,} records of {self.num_read:,} rows in {self.num_files} file(s)"
        text += f", {self.num_rejected:,} rejected, {self.num_duplicates:,} duplicates"
        if not_chosen := summary["not_chosen"]:
            text += f", {not_chosen:,} not chosen (max_examples)"
        return f"{text} ({self._most_common()})" if self.reasons else text

    def too_many_rejected(self, kept: Path) -> BadData:
        """The error for a source of which too much is unusable."""
        share = self.num_rejected / self.num_read
        found = f"{self.num_rejected:,} of {self.num_read:,} rows unusable ({share:.1%})"
        mend = "mend or remove them, translate labels with source.values, or raise max_rejected; "
        mend += f"all of them are in {kept}"
        if any(reason.endswith("is an object, not text") for reason in self.reasons):
            mend = f"reach into objects with source.columns: {{FIELD: COLUMN.NAME}}; {mend}"
        for side, num_rows in self._ready_made().items():
            if num_rows and side not in self.usable:
                found += f", all of the split {side} among them"
                mend = f"{without(side)}: all of them are in {kept}"
        lines = "".join(f"\n            {line}" for line in self.first_rejects)
        return BadData(
            f"the source of {self.task.name}",
            f"at most {self.task.max_rejected:.1%} unusable rows (max_rejected)",
            f"{found}: {self._most_common()}; the first of them:{lines}",
            mend,
        )

    def _most_common(self) -> str:
        return ", ".join(f"{count:,} x {reason}" for reason, count in self.reasons.most_common(3))

    def _read_part(self, part: Part, records: RecordFile, show: Callable[[], object]) -> None:
        self.sides[part.split] += 0
        columns, rows = with_columns(part.rows())
        layout: Layout | None = None
        for line, row in rows:
            self.num_read += 1
            if self.num_read % _PROGRESS_ROWS == 0:
                show()
            if isinstance(row, Unreadable):
                self.sides[part.split] += 1
                self._reject(part, line, row.reason, row.text)
                continue
            if layout is None:
                known = columns or list(row)
                layout = layout_of(known, self.task.needs, self.task.source, part.name)
            if (name := split_name(row, layout)) in layout.splits or len(self.names) < _MAX_NAMES:
                self.names.add(name)
            side = split_of(row, layout, part.split)
            self.sides[side] += 1
            try:
                made = records_of(row, layout, part.split)
            except BadRow as error:
                self._reject(part, line, str(error), row)
            else:
                self.num_read -= not made  # of a split that is left out
                self.num_records += len(made)
                self.usable.add(side)
                for record in made:
                    self.remarks.look_at(record)
                    records.add(record)

    def _reject(self, part: Part, line: int, reason: str, row: object) -> None:
        self.num_rejected += 1
        self.reasons[_AT_COLUMN.sub("", reason)] += 1
        if len(self.first_rejects) < _SHOWN_REJECTS:
            self.first_rejects.append(f"{part.name}:{line} {reason}")
        reject = {"task": self.task.name, "file": part.name, "line": line, "reason": reason}
        self.rejects.write(json.dumps(reject | {"row": row}, ensure_ascii=False, default=str))
        self.rejects.write("\n")


def _revisions(section: IngestSection) -> dict[str, dict[str, str | None]]:
    """Where each source that DVC keeps was read: a branch may have moved on since."""
    files = {task.name: task.source.dvc for task in section.tasks if task.source.dvc}
    return {
        name: {"repo": file.repo, "path": file.path, "commit": commit(file)}
        for name, file in files.items()
    }


def _resolved(task: TaskSection) -> IngestTask:
    prompts = prompts_of(task.prompts, task.promptsource)
    _check_fields(task, prompts)
    return IngestTask(
        name=task.name,
        source=task.source,
        needs=_needs(prompts),
        max_examples=task.max_examples,
        max_rejected=task.max_rejected,
    )


def _needs(prompts: PromptFile) -> Needs:
    """What a prompt file needs of a record, and nothing that a change of wording would change."""
    answers = {re.sub(r"\s", "", template.completion) for template in prompts.templates}
    # Choices are completions: they bind the target only where it is the completion as it stands.
    is_plain = answers == {f"{{{{{prompts.target}}}}}"}
    return Needs(
        fields=tuple(sorted(prompts.slots)),
        target=prompts.target,
        may_be_empty=_MAY_BE_EMPTY.get(prompts.name, ()),
        choices=prompts.choices if is_plain else (),
    )


def _check_fields(task: TaskSection, prompts: PromptFile) -> None:
    known = {*prompts.slots, prompts.target}
    if reserved := known & set(COLUMNS):
        expected = f"slots that are not called {', '.join(COLUMNS)}"
        raise BadPrompt(prompts.name, expected, f"'{min(reserved)}'", "call it otherwise")
    given = {key: getattr(task.source, key) for key in ("columns", "values", "constants")}
    issues = [
        Issue(
            f"tasks: {task.name}: source.{key}",
            f"fields of the prompts {prompts.name}: {', '.join(sorted(known))}",
            f"'{field}'",
            _turned(field, mapping[field], known) if key == "columns" else "",
        )
        for key, mapping in given.items()
        for field in mapping
        if field not in known and (key, field) != ("columns", TURNS)
    ]
    if issues:
        raise BadRecipe.all_of(issues)


def _turned(field: str, column: object, known: Collection[str]) -> str:
    """How to write a mapping that has the column first."""
    return f"the prompt field comes first: {{{column}: {field}}}" if column in known else ""


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}  {task.completed:,.0f} rows"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


STAGE = Stage(
    "ingest",
    VERSION,
    needs=(),
    select=select,
    write=write,
    files=files,
    volatile=frozenset({REJECTS, REVISIONS}),
)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
