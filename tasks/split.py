"""Split: training, validation and test, by record, with what belongs together on one side.

    train.parquet: {"id": "9f31...", "group_id": null, "task": "support_summary",
                    "template": "plain_request", "prompt": "...", "completion": "...",
                    "references": ["..."], "label": null}

Near-duplicates stay together, and so do the records of a group: equal values of
`source.group_column`, or the answers of one conversation.

Ready-made splits of the source are respected: only their train rows are divided further, and
only for the sides that the source does not bring. Tasks that are only rehearsed are not divided:
all of their rows are trained on but those that a probe measures on.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.config import Recipe, Split
from tasks.data.batches import batches
from tasks.data.dedup import connected, near_duplicate_clusters
from tasks.data.splitting import JUDGING, SIDES, place, place_clusters, shares
from tasks.errors import BadData, Issue
from tasks.progress import Bar
from tasks.scoring.probes import Measured, digests_of, measured_on
from tasks.stage import Counted, Inputs, Output, Stage, logger, write_json
from tasks.stage_main import main

VERSION = "6"
KEYS = ("id", "task", "split", "group_id", "label")

SIGMAS = 4.0
"""Standard errors of a share, beyond which it is not by chance that it is another one."""

FEW_GROUPS = 20
"""On the test side; fewer are too few for an interval of use."""

NO_PROBES: Measured = (frozenset(), frozenset())
COLUMNS = ("id", "group_id", "task", "template", "prompt", "completion", "references", "label")


class SplitSection(Split):
    """What splitting depends on."""

    rehearsed: tuple[str, ...] = ()
    """Tasks that are trained on, and neither validated nor tested."""

    probes: str | None = None
    """Probe suite, whose rows are not to be rehearsed."""

    max_probe_rows: int | None = None
    """At most this many rows of each probe are measured on."""


def select(recipe: Recipe) -> SplitSection:
    """The part of the recipe that splitting depends on."""
    fields = recipe.split.model_dump()
    if not recipe.old_tasks:
        return SplitSection(**fields)
    return SplitSection(
        **fields,
        rehearsed=tuple(task.name for task in recipe.old_tasks),
        probes=recipe.forgetting.probes,
        max_probe_rows=recipe.forgetting.max_examples,
    )


def files(section: SplitSection) -> dict[str, str]:
    """Digests of what probes measure on, where old tasks are rehearsed."""
    return {} if section.probes is None else digests_of(section.probes)


def write(section: SplitSection, inputs: Inputs, output: Output) -> Counted:
    """Divide the examples of every task."""
    path = inputs["template"] / "examples.parquet"
    keys = pq.read_table(path, columns=list(KEYS))
    sides: list[str | None] = []
    summary: dict[str, Any] = {}
    probes = NO_PROBES
    if section.probes is not None:
        probes = measured_on(section.probes, section.max_probe_rows, output.scratch)
    for task in pc.unique(keys["task"]).to_pylist():
        own = keys.filter(pc.equal(keys["task"], task))  # `template` writes task after task
        texts = partial(_texts, path, len(sides), own.num_rows)
        if task in section.rehearsed:
            divided = _rehearsed(own, texts("prompt"), probes)
        else:
            divided = _divide(task, own, partial(texts, "text"), section)
        sides += divided.sides
        summary[task] = divided.summary
    counts = _write_sides(path, sides, output)
    _check_sides(summary)
    write_json(output.path / "summary.json", summary)
    return Counted(sum(counts.values()), counts)


@dataclass(frozen=True)
class Divided:
    """The side of each row of a task (None: left out), and what is to be reported."""

    sides: Sequence[str | None]
    summary: Mapping[str, Any]


def _texts(path: Path, start: int, num_rows: int, column: str) -> Iterator[str]:
    """A column of `num_rows` examples from `start` on: never all of it in memory."""
    for batch in batches(pq.ParquetFile(path), [column]):
        if start + num_rows <= 0:
            return
        first = max(0, start)
        yield from batch[column].slice(first, max(0, start + num_rows - first)).to_pylist()
        start -= batch.num_rows


def _rehearsed(keys: pa.Table, prompts: Iterator[str], probes: Measured) -> Divided:
    ids, asked = probes
    records, ready = keys["id"].to_pylist(), keys["split"].to_pylist()
    is_measured = [
        record in ids or prompt in asked for record, prompt in zip(records, prompts, strict=True)
    ]
    sides = [
        None if measured or side in JUDGING else "train"
        for measured, side in zip(is_measured, ready, strict=True)
    ]
    counted = {"train": sides.count("train"), "left_out": sides.count(None)}
    return Divided(sides, {**counted, "rehearsed": True, "measured_by_probes": sum(is_measured)})


def _divide(
    task: str, keys: pa.Table, texts: Callable[[], Iterator[str]], section: Split
) -> Divided:
    ids, ready = keys["id"].to_pylist(), keys["split"].to_pylist()
    brought = {side for side in ready if side}
    validation = 0.0 if "validation" in brought else section.validation
    test = 0.0 if "test" in brought else section.test
    groups = keys["group_id"].to_pylist()
    own = [
        place(group or record, section.seed, validation, test) if side not in JUDGING else side
        for group, record, side in zip(groups, ids, ready, strict=True)
    ]
    clusters = list(range(len(ids)))
    if section.near_duplicates is not None:
        with Bar(f"split {task}") as bar:
            compared = bar.over(texts(), len(ids), "records")
            clusters = near_duplicate_clusters(compared, section.near_duplicates)
    leaks = _leaks(texts(), ready) if brought - {"train"} else {}
    joined = _join(own, _grouped(clusters, groups), [side in JUDGING for side in ready])
    divided = [side for side, given in zip(joined, ready, strict=True) if given not in JUDGING]
    _warn_of_shares(task, divided, {"validation": validation, "test": test})
    sides = _without_leaks(task, joined, leaks, section)
    _warn_of_few_groups(task, sides, groups)
    kept = [side or "left out" for side in sides]
    summary = {
        **{side: kept.count(side) for side in SIDES},
        "left_out": kept.count("left out"),
        "near_duplicates": len(ids) - len(set(clusters)),
        "groups": len(set(groups) - {None}),
        "ready_made": sorted(brought),
        "leaks": len(leaks),
        "remarks": _torn(task, sides, groups),
        "labels": shares(
            [label for label, side in zip(keys["label"].to_pylist(), sides, strict=True) if side],
            [side for side in sides if side],
        ),
    }
    return Divided(sides, summary)


def _grouped(clusters: Sequence[int], groups: Sequence[str | None]) -> Sequence[int]:
    """Clusters, joined where they have records of one group."""
    first: dict[str, int] = {}
    pairs = [(row, first.setdefault(group, row)) for row, group in enumerate(groups) if group]
    if not pairs:
        return clusters
    return connected(np.array([*pairs, *enumerate(clusters)]), len(clusters))


def _join(own: Sequence[str], clusters: Sequence[int], fixed: Sequence[bool]) -> list[str]:
    """Clusters to one side; rows of a ready-made split stay where the source has them."""
    free = [row for row, is_fixed in enumerate(fixed) if not is_fixed]
    sides = list(own)
    together = place_clusters([own[row] for row in free], [clusters[row] for row in free])
    for row, side in zip(free, together, strict=True):
        sides[row] = side
    return sides


def _warn_of_shares(task: str, sides: Sequence[str], wanted: Mapping[str, float]) -> None:
    """Warn where near-duplicates made the share of a side much larger or smaller than asked."""
    for side, share in wanted.items():
        found = sides.count(side) / max(1, len(sides))
        chance = math.sqrt(share * (1 - share) / max(1, len(sides)))
        if abs(found - share) > max(share / 2, SIGMAS * chance):
            logger.warning(
                "split: %.0f%% of %s are on the side %s, where split.%s asks for %.0f%%: what "
                "stays together goes there together, near-duplicates if one of them does; change "
                "that share, or divide near-duplicates nonetheless (split.near_duplicates: null)",
                100 * found, task, side, side, 100 * share,
            )  # fmt: skip


def _warn_of_few_groups(
    task: str, sides: Sequence[str | None], groups: Sequence[str | None]
) -> None:
    tested = [row for row, side in enumerate(sides) if side == "test"]
    found = len({groups[row] or row for row in tested})
    if found < min(FEW_GROUPS, len(tested)):
        logger.warning(
            "split: the %d test rows of %s are of %d groups, which is little evidence: intervals "
            "will be wide; raise split.test, or take smaller groups",
            len(tested), task, found,
        )  # fmt: skip


def _torn(task: str, sides: Sequence[str | None], groups: Sequence[str | None]) -> list[str]:
    """What to say of groups that a ready-made split tears apart; told as well."""
    placed = [(group, side) for group, side in zip(groups, sides, strict=True) if group and side]
    sides_of: dict[str, set[str]] = {}
    for group, side in placed:
        sides_of.setdefault(group, set()).add(side)
    torn = {group for group, found in sides_of.items() if len(found) > 1}
    if not torn:
        return []
    judged = sum(group in torn and side in JUDGING for group, side in placed)
    remark = (
        f"{len(torn):,} of {len(sides_of):,} groups are on several sides, as the ready-made splits "
        f"have them: {judged:,} records of validation or test are of these, where the model may "
        "do better than on new groups; to keep groups together, divide anew: every split as train "
        "in source.splits, or the rows of all files in source.path"
    )
    logger.warning("split: %s: %s", task, remark)
    return [remark]


def _leaks(texts: Iterator[str], ready: Sequence[str | None]) -> dict[int, str]:
    """Rows whose text also stands in a ready-made split of a later side, each with its own side.

    Those of validation too: the checkpoint would be chosen by rows of test.
    """
    digests = [hashlib.sha256(text.encode()).digest()[:16] for text in texts]
    ranks = [SIDES.index(side or "train") for side in ready]
    highest: dict[bytes, int] = {}
    for digest, rank in zip(digests, ranks, strict=True):
        if rank:  # nothing leaks into train, which is most of the rows
            highest[digest] = max(rank, highest.get(digest, 0))
    placed = enumerate(zip(digests, ranks, strict=True))
    return {row: SIDES[rank] for row, (digest, rank) in placed if rank < highest.get(digest, 0)}


def _without_leaks(
    task: str, sides: Sequence[str], leaks: Mapping[int, str], section: Split
) -> list[str | None]:
    kept: list[str | None] = list(sides)
    if not leaks or section.on_leak == "keep":
        return kept
    counts = Counter(leaks.values())
    found = " and ".join(f"{counts[side]} records of {side}" for side in SIDES if counts[side])
    if section.on_leak == "stop":
        raise BadData(
            f"tasks: {task}",
            "records that stand on one side only",
            f"{found} that stand in another, ready-made split",
            "remove them, or set split.on_leak to `drop` (leaves them out) or `keep`",
        )
    for row in leaks:
        kept[row] = None
    logger.warning("split: %s: %s left out: they stand in another split", task, found)
    return kept


def _write_sides(path: Path, sides: Sequence[str | None], output: Output) -> dict[str, int]:
    """Write each side's file, batch by batch."""
    file = pq.ParquetFile(path)
    schema = pa.schema([file.schema_arrow.field(name) for name in COLUMNS])
    writers = {
        side: pq.ParquetWriter(output.path / f"{side}.parquet", schema, compression="zstd")
        for side in SIDES
    }
    counts, start = dict.fromkeys(SIDES, 0), 0
    for batch in batches(file, COLUMNS):
        placed = pa.array(sides[start : start + batch.num_rows], pa.string())
        start += batch.num_rows
        for side, writer in writers.items():
            rows = pa.Table.from_batches([batch], schema).filter(pc.equal(placed, side))
            writer.write_table(rows)
            counts[side] += rows.num_rows
    for writer in writers.values():
        writer.close()
    return counts


def _check_sides(summary: Mapping[str, Mapping[str, Any]]) -> None:
    """Fail where a task has no record on a side that it is trained, validated or tested on."""
    issues = [
        _empty_side(task, side, entry)
        for task, entry in summary.items()
        for side in SIDES
        if entry.get(side) == 0
    ]
    if issues:
        raise BadData.all_of(issues)


def _empty_side(task: str, side: str, entry: Mapping[str, Any]) -> Issue:
    found = ", ".join(f"{entry[name]} {name}" for name in SIDES if name in entry)
    mend = "add records"
    if groups := entry.get("groups"):
        found += f"; they are of {groups} groups, which stay together"
    if alike := entry.get("near_duplicates"):
        found += f"; {alike} are nearly the same as others and stay on their side"
        mend += ", or divide them nonetheless: split.near_duplicates: null"
    elif measured := entry.get("measured_by_probes"):
        found += f"; {measured} are what the probes measure on"
        mend += " of the old task that no probe has"
    elif side != "train":
        mend += f", or raise split.{side}"
    return Issue(f"split: {task}", f"at least one record on the side {side}", found, mend)


STAGE = Stage("split", VERSION, needs=("template",), select=select, write=write, files=files)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
