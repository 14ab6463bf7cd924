"""What the commands print for people, as rich tables; `--json` prints the same for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from tasks.tracking.lineage import lineage_digest

if TYPE_CHECKING:  # each command has imported what it prints, and needs nothing of the others
    from flows.doctor import Check
    from tasks.plan import Plan
    from tasks.tracking.registry import Version
    from tasks.tracking.retention import Garbage
    from tasks.tracking.verify import Verified

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
            f"{task.task} (replay)" if task.replay else task.task,
            _count(task.rows),
            f"{task.share:.1%}",
            _count(task.draws_per_epoch),
            f"{task.epochs_over_rows:g}",
        )
    tables = [stages, mixture, _figures(plan)]
    return [table for table in tables if table.row_count]


def _figures(plan: Plan) -> Table:
    known, seconds = plan.estimated_from, plan.training_seconds
    figures = Table("", Column("", justify="right"), "where it comes from")
    for task, rows in plan.rows.items():
        figures.add_row(f"rows of {task}", _count(rows), known["rows"])
    for side, rows in plan.splits.items():
        figures.add_row(f"{side} examples", _count(rows), known["rows"])
    for name, share in _over_limits(plan).items():
        figures.add_row(name, f"{share:.1%}", known["tokens_per_epoch"])
    figures.add_row("tokens per epoch", _count(plan.tokens_per_epoch), known["tokens_per_epoch"])
    stop = {True: "the stop token is learnt", False: "the stop token is NOT learnt", None: ""}
    supervised = _count(plan.supervised_tokens_per_epoch)
    figures.add_row("of which carry loss", supervised, stop[plan.stop_token_trained])
    figures.add_row("tokens in all", _count(plan.tokens), known["tokens"])
    figures.add_row("optimizer steps", _count(plan.steps), known["tokens"])
    figures.add_row("parameters", _count(plan.parameters), "the base model")
    if plan.trainable_parameters != plan.parameters:
        figures.add_row("trained parameters", _count(plan.trainable_parameters), "its method")
    duration = UNKNOWN if seconds is None else f"about {_duration(seconds)}"
    source = f"{known['training_seconds']}; its start, test and probes come on top"
    figures.add_row("time for training", duration, source)
    if plan.further_trainings:
        why = f"where the budget is broken: {', '.join(plan.further_trainings)}"
        figures.add_row("further trainings", f"up to {len(plan.further_trainings)}", why)
    _add_memory(figures, plan)
    return figures


def _over_limits(plan: Plan) -> dict[str, float]:
    """Shares of the examples over a length limit, where there are any."""
    cut, over = plan.truncated_share or 0.0, plan.too_long_share or 0.0
    return {name: share for name, share in (("cut", cut), ("left out", over - cut)) if share > 0}


def _add_memory(figures: Table, plan: Plan) -> None:
    memory, available = plan.training_memory_bytes, plan.available_memory_bytes
    size = UNKNOWN if memory is None else f"about {_size(memory)}"
    figures.add_row("memory for training", size, plan.estimated_from["training_memory_bytes"])
    if available is None or plan.fits is None:
        return
    verdict = "it fits" if plan.fits else "it does NOT fit, and `retune run` refuses to train"
    figures.add_row("memory available", _size(available), verdict)
    for change in plan.changes:
        figures.add_row("it would fit with", f"about {_size(change.memory_bytes)}", change.options)


def model_document(version: Version) -> dict[str, Any]:
    """A registered version for programs."""
    tags = dict(version.tags)
    return {
        **vars(version),
        "tags": tags,
        "age_s": round(time.time() - version.created),
        "headline": json.loads(tags["retune.headline"]) if "retune.headline" in tags else None,
        "lineage": lineage_digest(tags),
    }


MODEL_COLUMNS = ("model", "version", "aliases", "test figure", "age", "lineage")
LINEAGE_DIGITS = 8


def models_table(versions: Sequence[Version], registry: str) -> Table | Text:
    """Registered versions; `registry` is where they were looked for."""
    if not versions:
        return Text(f"No model is registered yet in {registry}: `retune run RECIPE` registers one.")
    columns = (Column(name, overflow="fold") for name in MODEL_COLUMNS)
    table = Table(*columns, show_edge=False)
    for version in versions:
        shown = model_document(version)
        table.add_row(
            escape(version.model),
            version.version,
            "\n".join(version.aliases),
            _headline(shown["headline"]),
            _age(shown["age_s"]),
            (shown["lineage"] or "")[:LINEAGE_DIGITS],
        )
    return table


def verified_tables(version: Version, verified: Verified) -> list[Table | Text]:
    """What was hashed again, and every difference by name."""
    name = f"{version.model} version {version.version}"
    data = ", ".join(verified.artifacts) or "no data"
    state = "differs" if verified.differences else "is what was registered"
    lines = [f"{name} {state}: {verified.files} files, and {data} of its workspace"]
    lines += [f"  - not checked: {note}" for note in verified.notes]
    table = Table(Column("file", overflow="fold"), "expected", "found")
    for difference in verified.differences:
        table.add_row(escape(difference.where), difference.expected[:16], difference.found[:16])
    return [Text("\n".join(lines)), *([table] if verified.differences else [])]


def garbage_document(garbage: Garbage) -> dict[str, Any]:
    """What nothing needs any more, for programs."""
    versions = [{"model": v.model, "version": v.version} for v in garbage.versions]
    return {"versions": versions, "scratch": [str(path) for path in garbage.scratch]}


def garbage_table(garbage: Garbage, deleted: bool) -> Table | Text:
    """What nothing needs any more."""
    if not (garbage.versions or garbage.scratch):
        return Text("Nothing to delete.")
    title = "deleted" if deleted else "would be deleted with --yes"
    table = Table(Column(title, overflow="fold"), "age")
    for version in garbage.versions:
        age = _age(time.time() - version.created)
        table.add_row(escape(f"{version.model} version {version.version}"), age)
    for path in garbage.scratch:
        table.add_row(escape(str(path)), "")
    return table


def _headline(headline: Mapping[str, Any] | None) -> str:
    if headline is None:
        return ""
    interval = f"{headline['low']:.3f}-{headline['high']:.3f}"
    return f"{headline['metric']} {headline['value']:.3f} ({interval})"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def promotion_text(result: Mapping[str, Any]) -> Text:
    """The outcome of a promotion, with its reasons."""
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
    table = Table("", "", Column("found", overflow="fold"), "to do")
    for check in checks:
        table.add_row(check.name, _coloured(check.state), escape(check.found), escape(check.mend))
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
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest or 1} s"
