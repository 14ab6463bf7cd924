"""Tasks of the lm-evaluation-harness as probes of a suite, where `retune[harness]` is installed.

    harness: {tasks: [arc_easy], max_examples: 200}

Base and tuned model are scored by the harness itself, in a process of its own; what comes back is
a figure for each row, in the shape of `predictions.jsonl`, so that its probes are compared, judged
and shown like all others:

    {"id": "arc_easy/17", "task": "arc_easy", "prompt": "Question: ...", "references": ["gas"],
     "completions": {"base": "gas", "tuned": "ice"},
     "scores": {"base": {"acc": 1.0}, "tuned": {"acc": 0.0}}}
"""

import importlib.util
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tasks.config import Section
from tasks.errors import BadRecipe
from tasks.launch import Event, launch
from tasks.progress import Bar
from tasks.scoring.answers import mean
from tasks.scoring.job import Way
from tasks.stage import digest_of_folder, read_rows, write_json

PACKAGE = "lm_eval"


class Harness(Section):
    """Tasks of the lm-evaluation-harness."""

    tasks: Annotated[list[str], Field(min_length=1)]
    """Names as `lm_eval ls tasks` lists them. The harness fetches their data itself; the first
    metric of each that has a figure in [0, 1] for every row counts."""

    include_path: str | None = None
    """Folder of task files of your own, relative to the current folder."""

    num_fewshot: Annotated[int, Field(ge=0)] = 0
    """Worked examples in each prompt."""

    max_examples: Annotated[int, Field(ge=1)] = 200
    """At most this many rows of each task, its first ones."""


class HarnessJob(BaseModel):
    """What the scoring process is to do.

    Attributes:
        harness: The suite's section.
        ways: The models, by name.
        seed: Of the draw of worked examples.
        output: JSON lines to write, one a row of a task.
        events: File that events are appended to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    harness: Harness
    ways: dict[str, Way]
    seed: int
    output: Path
    events: Path


def check_installed(where: str) -> None:
    """Check that the harness is there, before anything runs.

    Raises:
        BadRecipe: It is not.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        mend = "install retune[harness], or take `harness` out of the suite"
        raise BadRecipe(where, "the lm-evaluation-harness", "not installed", mend)


def digests_of_harness(harness: Harness) -> dict[str, str]:
    """What its figures depend on besides the suite: its version, and task files of one's own."""
    own = Path(harness.include_path) if harness.include_path else None
    digests = {"harness": version(PACKAGE)}
    return digests | ({"harness tasks": digest_of_folder(own)} if own else {})


def score_with_harness(job: HarnessJob, scratch: Path) -> list[dict[str, Any]]:
    """Score in a process of its own.

    Returns:
        The rows, those of one task together.

    Raises:
        BadInput: A task is not known, or has no figure for each row.
        ChildFailed: The process ended abnormally.
    """
    path = scratch / "harness.json"
    write_json(path, job.model_dump(mode="json"))
    with Bar("forgetting") as bar:

        def listen(event: Event) -> None:
            if event["event"] == "harness":
                bar.update(event["done"], event["total"], f"{event['way']}  lm-evaluation-harness")

        launch("tasks.scoring.harness_main", path, job.events, listen)
    return list(read_rows(job.output))


def changes(
    rows: Sequence[dict[str, Any]], resamples: int, seed: int, min_effect: float
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Compare tuned with base, row by row.

    Args:
        rows: As `score_with_harness` returns them.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        min_effect: The difference that the number of rows needed is given for.

    Yields:
        Task, its metric, and `before`, `after`, `delta`, `low`, `high`, `n`, `p`, `detectable`
        and `needed_n`, which is None for a `min_effect` of 0.
    """
    from tasks.scoring.statistics import (  # scipy takes a second, and most runs need none
        detectable,
        difference,
        estimates,
        interval,
        needed_examples,
        p_value,
    )

    for task, group in groupby(rows, key=lambda row: row["task"]):
        scores = [row["scores"] for row in group]
        metric = next(iter(scores[0]["base"]))
        scored = {
            way: (np.array([[score[way][metric], 1.0] for score in scores]), mean)
            for way in ("base", "tuned")
        }
        estimated = estimates(scored, resamples, seed)
        change = difference(estimated["tuned"], estimated["base"])
        ends = interval(change)
        yield (
            task,
            metric,
            {
                "before": round(estimated["base"].value, 6),
                "after": round(estimated["tuned"].value, 6),
                "delta": ends["value"],
                **{key: ends[key] for key in ("low", "high", "n")},
                "p": p_value(change),
                "detectable": detectable(change),
                "needed_n": needed_examples(change, min_effect) if min_effect else None,
            },
        )
