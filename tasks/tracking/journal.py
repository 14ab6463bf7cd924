"""Metrics go to disk first and to MLflow when it answers, so training never waits for a server.

`<workspace>/.journal.jsonl` has one line for each call, `.journal.cursor` the position in bytes up
to which MLflow has taken them:

    {"run_id": "5d41...", "time_ms": 1790000000000, "step": 20, "metrics": {"train/loss": 2.31}}

A line that was shipped but not yet ticked off when the process died is shipped again. MLflow keeps
one value for the same run, name, step, time and value, so each still arrives once.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import requests
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tasks.errors import RetuneError
from tasks.tracking.connection import connect, is_down

FILE = ".journal.jsonl"
CURSOR = ".journal.cursor"
CHUNK_BYTES = 64 * 1024
METRICS_PER_BATCH = 1000
PAUSE_S = 1.0
LONGEST_WAIT_S = 15.0
FLUSH_AFTER_ERROR_S = 10.0

logger = logging.getLogger("retune")


@dataclass(frozen=True)
class Batch:
    """Lines to ship together: of one run, one after the other in the journal.

    Attributes:
        run_id: The run; empty where there are only lines that can't be read.
        lines: The metrics of each line that can be.
        end: Position in bytes after the last line.
    """

    run_id: str
    lines: Sequence[Sequence[Metric]]
    end: int


class Journal:
    """Takes metrics at once; ships them from a thread of its own."""

    def __init__(self, workspace: Path, run_id: str | None) -> None:
        """Open the journal, with whatever an earlier process left unsent.

        Args:
            workspace: Folder that the journal lies in.
            run_id: MLflow run of the metrics to come; None drops them.
        """
        self.run_id = run_id
        self.workspace = workspace
        self._path = workspace / FILE
        self._cursor = workspace / CURSOR
        _cut_torn_line(self._path)
        self._taken = _read_position(self._cursor)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._give_up = threading.Event()
        self._thread = threading.Thread(target=self._ship_all, name="retune-journal", daemon=True)
        self._thread.start()

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Put metrics down for shipping; returns at once and never fails the caller.

        Args:
            values: Name -> value.
            step: The optimizer step, or whatever the metrics count in.
        """
        if self.run_id is None:
            return
        numbers = {name: float(value) for name, value in values.items()}
        now_ms = int(time.time() * 1000)
        line = {"run_id": self.run_id, "time_ms": now_ms, "step": step, "metrics": numbers}
        try:
            with self._lock, self._path.open("a+b") as file:
                start = b"\n" if _is_torn(file) else b""
                file.write(start + json.dumps(line).encode() + b"\n")
        except OSError as error:
            logger.warning("metrics of step %d are lost: %s", step, error)

    def close(self, timeout_s: float) -> int:
        """Ship what is left, for at most `timeout_s` seconds.

        Returns:
            How many bytes of the journal could not be shipped; 0 is all done.
        """
        self._closing.set()
        self._thread.join(timeout_s)
        self._give_up.set()
        _cut_torn_line(self._path)
        unsent = _size(self._path) - self._position()
        if unsent == 0:
            self._path.unlink(missing_ok=True)
            self._cursor.unlink(missing_ok=True)
        return unsent

    def _ship_all(self) -> None:
        client = connect()
        wait_s = PAUSE_S
        while not self._give_up.is_set():
            ending = self._closing.is_set()  # asked first: nothing is put down after it is set
            batch = _next_batch(self._path, self._position())
            if batch is None:
                if ending:
                    return
                self._closing.wait(PAUSE_S)
            elif _shipped(client, batch):
                wait_s = PAUSE_S
                self._taken = batch.end
                _tick_off(self._cursor, batch.end)
                self._closing.wait(PAUSE_S)  # gather some more, unless it is time to go
            else:
                logger.warning("MLflow does not answer; metrics wait in %s", self._path)
                self._give_up.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _position(self) -> int:
        return self._taken if self._taken <= _size(self._path) else 0


@contextmanager
def follow(
    workspace: Path, run_id: str | None, flush_timeout_s: float = 600.0
) -> Iterator[Journal]:
    """A journal for the time of a pipeline run; at its end, everything has been shipped.

    Args:
        workspace: The recipe's folder.
        run_id: MLflow run of the metrics; None, where a stage runs by itself, drops them.
        flush_timeout_s: How long to wait at the end for a server that is down, in seconds.

    Raises:
        RetuneError: The server is still down; nothing is lost, the same command ships the rest.
    """
    journal = Journal(workspace, run_id)
    try:
        yield journal
    except BaseException:
        journal.close(min(FLUSH_AFTER_ERROR_S, flush_timeout_s))
        raise
    if journal.close(flush_timeout_s):
        raise RetuneError(
            f"MLflow did not answer for {flush_timeout_s:.0f} s. The metrics that it does not have "
            f"are kept in {workspace / FILE}: start the server, and the same command ships them."
        )


def _next_batch(path: Path, position: int) -> Batch | None:
    """The lines from `position` on that can go together; None where there are none."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            chunk = file.read(CHUNK_BYTES)
            while b"\n" not in chunk and (more := file.read(CHUNK_BYTES)):
                chunk += more
    except OSError:
        return None
    run_id = ""
    start = position
    lines: list[list[Metric]] = []
    for text in chunk[: chunk.rfind(b"\n") + 1].splitlines(keepends=True):
        line = _read_line(text)
        if line and run_id not in ("", line["run_id"]):
            break
        if line:
            run_id = line["run_id"]
            lines.append(_metrics_of(line))
        position += len(text)
    return Batch(run_id, lines, position) if position > start else None


def _read_line(text: bytes) -> dict[str, Any] | None:
    """A line; None where its write failed half-way, on a full disk say."""
    try:
        return dict(json.loads(text))
    except ValueError:
        logger.error("metrics are lost, %r is no line of a journal", text[:80])
        return None


def _metrics_of(line: Mapping[str, Any]) -> list[Metric]:
    return [
        Metric(name, value, line["time_ms"], line["step"])
        for name, value in line["metrics"].items()
    ]


def _shipped(client: MlflowClient, batch: Batch) -> bool:
    """Ship a batch; False where the server is down, True where there is nothing left to do."""
    try:
        _log(client, batch.run_id, batch.lines)
    except (MlflowException, requests.exceptions.RequestException) as error:
        if is_down(error):
            return False
        if getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE" and len(batch.lines) > 1:
            # One bad name must not take its neighbours with it.
            return all(
                _shipped(client, Batch(batch.run_id, [line], batch.end)) for line in batch.lines
            )
        num_lost = sum(len(line) for line in batch.lines)
        logger.error("MLflow refuses %d metrics, they are left out: %s", num_lost, error)
    return True


def _log(client: MlflowClient, run_id: str, lines: Sequence[Sequence[Metric]]) -> None:
    metrics = [metric for line in lines for metric in line]
    for start in range(0, len(metrics), METRICS_PER_BATCH):
        part = metrics[start : start + METRICS_PER_BATCH]
        client.log_batch(run_id, metrics=part, synchronous=True)


def _tick_off(cursor: Path, position: int) -> None:
    partial = cursor.with_suffix(".partial")
    try:
        partial.write_text(str(position), encoding="utf-8")
        os.replace(partial, cursor)
    except OSError as error:
        # The next one is as good, and lines that arrive twice do no harm.
        logger.warning("which metrics MLflow has can't be put down: %s", error)


def _read_position(cursor: Path) -> int:
    try:
        return int(cursor.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return 0


def _is_torn(file: BinaryIO) -> bool:
    """Whether the last line has no end."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read() != b"\n"


def _cut_torn_line(path: Path) -> None:
    """Remove the part of a line that a dying process or a full disk left at the end."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
