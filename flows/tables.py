"""What the commands print for people, as rich tables; `--json` prints the same for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:  # each command has imported what it prints, and needs nothing of the others
    from flows.doctor import Check
    from tasks.plan import Plan
    from tasks.tracking.registry import Version

GIB = 2**30
UNKNOWN = "not known yet"
COLOURS = {"run": "yellow", "reuse": "green", "ok": "green", "note": "yellow", "bad": "red"}


def plan_tables(plan: Plan) -> list[Table]:
    """The stages, each task's part of an epoch, and the figures."""
    stages = Table("stage", "", "why", title=plan.recipe, title_justify="left")
    for stage in plan.stages:
        stages.add_row(stage.stage, _coloured(stage.decision), stage.reason)
    columns = ("task", "training rows", "share", "draws per epoch", "epochs over its rows")
    mixture = Table(columns[0], *(Column(name, justify="right") for name in columns[1:]))
    for task in plan.mixture:
        mixture.add_row(
            task.task,
            _count(task.rows),
            f"{task.share:.1%}",
            _count(task.draws_per_epoch),
            f"{task.epochs_over_rows:g}",
        )
    tables = [stages, mixture, _figures(plan)]
    return [table for table in tables if table.row_count]


def _figures(plan: Plan) -> Table:
    known, memory, seconds = plan.estimated_from, plan.training_memory_bytes, plan.training_seconds
    figures = Table("", Column("", justify="right"), "where it comes from")
    for task, rows in plan.rows.items():
        figures.add_row(f"rows of {task}", _count(rows), known["rows"])
    for side, rows in plan.splits.items():
        figures.add_row(f"{side} examples", _count(rows), known["rows"])
    if plan.too_long_share:
        share = f"{plan.too_long_share:.1%}"
        figures.add_row("over a length limit", share, known["tokens_per_epoch"])
    figures.add_row("tokens per epoch", _count(plan.tokens_per_epoch), known["tokens_per_epoch"])
    figures.add_row("tokens in all", _count(plan.tokens), known["tokens"])
    figures.add_row("optimizer steps", _count(plan.steps), known["tokens"])
    figures.add_row("parameters", _count(plan.parameters), "the base model's files")
    size = UNKNOWN if memory is None else f"about {_size(memory)}"
    figures.add_row("memory for training", size, known["training_memory_bytes"])
    available = plan.available_memory_bytes
    if available is not None:
        fits = "" if memory is None else "it fits" if memory <= available else "it does NOT fit"
        figures.add_row("memory available", _size(available), fits)
    duration = UNKNOWN if seconds is None else f"about {_duration(seconds)}"
    figures.add_row("time for training", duration, known["training_seconds"])
    return figures


def models_table(versions: Sequence[Version]) -> Table:
    """Registered versions."""
    table = Table("model", "version", "aliases", "run")
    for version in versions:
        table.add_row(version.model, version.version, ", ".join(version.aliases), version.run_id)
    return table


def promotion_text(result: Mapping[str, Any]) -> Text:
    """What came of a promotion, and why."""
    states = {
        "promoted": f"promoted, in place of version {result['was'] or 'none'}",
        "refused": "not promoted",
        "awaiting_approval": "not promoted yet",
        "unchanged": "the champion already",
    }
    name = f"{result['model']} version {result['version']}"
    text = Text(f"{name}: {states[result['state']]}\n", style="bold")
    for reason in result["decision"]["reasons"]:
        text.append(f"  - {reason}\n", style="not bold")
    if result["move"] and result["move"]["override"]:
        text.append(f"  - Overridden: {result['move']['override']}\n", style="not bold")
    text.right_crop(1)
    return text


def doctor_table(checks: Sequence[Check]) -> Table:
    """What the doctor found."""
    table = Table("", "", "found", "to do")
    for check in checks:
        table.add_row(check.name, _coloured(check.state), check.found, check.mend)
    return table


def _coloured(word: str) -> str:
    return f"[{COLOURS[word]}]{word}[/]"


def _count(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def _size(num_bytes: int) -> str:
    gib = num_bytes / GIB
    return f"{gib:.1f} GiB" if gib >= 1 else f"{gib * 1024:.0f} MiB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
