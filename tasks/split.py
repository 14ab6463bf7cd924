"""Split: training, validation and test, by record, with near-duplicates on one side.

    train.parquet: {"id": "9f31...", "task": "support_summary", "template": "plain_request",
                    "prompt": "...", "completion": "...", "references": ["..."], "label": null}

Ready-made splits of the source are respected: only their train rows are divided further, and
only for the sides that the source does not bring.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.config import Recipe, Split
from tasks.data.dedup import near_duplicate_clusters
from tasks.data.splitting import SIDES, place, place_clusters, shares
from tasks.errors import BadData
from tasks.stage import Counted, Inputs, Output, Stage, logger, write_json
from tasks.stage_main import main

VERSION = "1"
COLUMNS = ("id", "task", "template", "prompt", "completion", "references", "label")


def select(recipe: Recipe) -> Split:
    """The part of the recipe that splitting depends on."""
    return recipe.split


def write(section: Split, inputs: Inputs, output: Output) -> Counted:
    """Divide the examples of every task."""
    path = inputs["template"] / "examples.parquet"
    key_columns = ["id", "task", "split", "label", "text"]
    keys = pq.read_table(path, columns=key_columns)
    sides: list[str | None] = [None] * keys.num_rows
    summary: dict[str, Any] = {}
    for task in pc.unique(keys["task"]).to_pylist():
        rows = pc.indices_nonzero(pc.equal(keys["task"], task)).to_pylist()
        divided = _divide(task, keys.take(rows), section)
        for row, side in zip(rows, divided.sides, strict=True):
            sides[row] = side
        summary[task] = divided.summary
    counts = _write_sides(path, sides, output)
    _check_sides(counts, section)
    write_json(output.path / "summary.json", summary)
    return Counted(sum(counts.values()), counts)


@dataclass(frozen=True)
class Divided:
    """The side of each row of a task (None: left out), and what is to be reported."""

    sides: Sequence[str | None]
    summary: Mapping[str, Any]


def _divide(task: str, keys: pa.Table, section: Split) -> Divided:
    ids, ready = keys["id"].to_pylist(), keys["split"].to_pylist()
    brought = {side for side in ready if side}
    validation = 0.0 if "validation" in brought else section.validation
    test = 0.0 if "test" in brought else section.test
    own = [
        place(record, section.seed, validation, test) if side in (None, "train") else side
        for record, side in zip(ids, ready, strict=True)
    ]
    texts = keys["text"].to_pylist()
    clusters = list(range(len(ids)))
    if section.near_duplicates is not None:
        clusters = near_duplicate_clusters(texts, section.near_duplicates)
    leaks = _leaks(texts, ready)
    joined = _join(own, clusters, [side in ("validation", "test") for side in ready])
    sides = _without_leaks(task, joined, leaks, section)
    kept = [side or "left out" for side in sides]
    summary = {
        **{side: kept.count(side) for side in SIDES},
        "left_out": kept.count("left out"),
        "near_duplicates": len(ids) - len(set(clusters)),
        "ready_made": sorted(brought),
        "leaks": len(leaks),
        "labels": shares(
            [label for label, side in zip(keys["label"].to_pylist(), sides, strict=True) if side],
            [side for side in sides if side],
        ),
    }
    return Divided(sides, summary)


def _join(own: Sequence[str], clusters: Sequence[int], fixed: Sequence[bool]) -> list[str]:
    """Clusters to one side; rows of a ready-made split stay where the source has them."""
    free = [row for row, is_fixed in enumerate(fixed) if not is_fixed]
    sides = list(own)
    together = place_clusters([own[row] for row in free], [clusters[row] for row in free])
    for row, side in zip(free, together, strict=True):
        sides[row] = side
    return sides


def _leaks(texts: Sequence[str], ready: Sequence[str | None]) -> list[int]:
    """Rows of train whose text also stands in a ready-made validation or test split."""
    judged = {
        text for text, side in zip(texts, ready, strict=True) if side in ("validation", "test")
    }
    return [
        row
        for row, (text, side) in enumerate(zip(texts, ready, strict=True))
        if side not in ("validation", "test") and text in judged
    ]


def _without_leaks(
    task: str, sides: Sequence[str], leaks: Sequence[int], section: Split
) -> list[str | None]:
    kept: list[str | None] = list(sides)
    if not leaks or section.on_leak == "keep":
        return kept
    if section.on_leak == "stop":
        raise BadData(
            f"tasks: {task}",
            "test and validation records that do not stand in train",
            f"{len(leaks)} records of train that stand in a ready-made test or validation split",
            "remove them, or set split.on_leak to `drop` (leaves them out of train) or `keep`",
        )
    for row in leaks:
        kept[row] = None
    logger.warning("split: %d leaked records of %s left out of train", len(leaks), task)
    return kept


def _write_sides(path: Any, sides: Sequence[str | None], output: Output) -> dict[str, int]:
    """Write each side's file, batch by batch."""
    file = pq.ParquetFile(path)
    schema = pa.schema([file.schema_arrow.field(name) for name in COLUMNS])
    writers = {
        side: pq.ParquetWriter(output.path / f"{side}.parquet", schema, compression="zstd")
        for side in SIDES
    }
    counts, start = dict.fromkeys(SIDES, 0), 0
    for batch in file.iter_batches(columns=list(COLUMNS)):
        placed = pa.array(sides[start : start + batch.num_rows], pa.string())
        start += batch.num_rows
        for side, writer in writers.items():
            rows = pa.Table.from_batches([batch], schema).filter(pc.equal(placed, side))
            writer.write_table(rows)
            counts[side] += rows.num_rows
    for writer in writers.values():
        writer.close()
    return counts


def _check_sides(counts: Mapping[str, int], section: Split) -> None:
    for side in SIDES:
        if counts[side] == 0:
            found = ", ".join(f"{count} {name}" for name, count in counts.items())
            mend = f"add records, or raise split.{side}" if side != "train" else "add records"
            raise BadData("split", f"at least one record on the side {side}", found, mend)


STAGE = Stage("split", VERSION, needs=("template",), select=select, write=write)
run = STAGE.run

if __name__ == "__main__":
    raise SystemExit(main(STAGE))
