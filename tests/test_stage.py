"""Artifacts: made whole or not at all, reused while valid, made again when anything changed."""

import errno
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Section
from tasks.errors import BadInput, BadWorkspace
from tasks.lock import workspace_lock
from tasks.stage import Counted, Inputs, Output, Stage, load_artifact


class Words(Section):
    """A toy section."""

    words: tuple[str, ...]
    """What to write."""


def write(section: Words, inputs: Inputs, output: Output) -> Counted:
    (output.path / "words.txt").write_text(" ".join(section.words), encoding="utf-8")
    (output.path / "time.txt").write_text(str(output.path.stat().st_mtime_ns), encoding="utf-8")
    return Counted(len(section.words), {"words": len(section.words)})


def stage_with(**changes: Any) -> Stage[Words]:
    given: dict[str, Any] = {
        "name": "words",
        "version": "1",
        "needs": (),
        "select": lambda recipe: Words(words=()),
        "write": write,
        "volatile": frozenset({"time.txt"}),
    }
    return Stage(**(given | changes))


SECTION = Words(words=("a", "b"))


def test_a_stage_runs_once_and_is_then_reused(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, {})
    first = stage_with().run(SECTION, inputs)
    again = stage_with().run(SECTION, inputs)
    assert (first.state, again.state) == ("ran", "reused")
    assert first.digest == again.digest
    assert again.counts == {"words": 2}
    assert load_artifact(tmp_path, "words").rows == 2


@pytest.mark.parametrize(
    ("stage", "section"),
    [
        (stage_with(version="2"), SECTION),
        (stage_with(files=lambda section: {"source": "other"}), SECTION),
        (stage_with(is_current=lambda artifact: False), SECTION),
        (stage_with(), Words(words=("a", "c"))),
    ],
    ids=["version", "files", "not current", "section"],
)
def test_what_changes_makes_it_run_again(
    tmp_path: Path, stage: Stage[Words], section: Words
) -> None:
    inputs = Inputs(tmp_path, {})
    stage_with().run(SECTION, inputs)
    assert not stage.is_valid(section, inputs)
    assert stage.run(section, inputs).state == "ran"


def test_an_upstream_digest_is_part_of_the_key(tmp_path: Path) -> None:
    upstream = stage_with(name="ingest")
    downstream = stage_with(needs=("ingest",))
    first = upstream.run(SECTION, Inputs(tmp_path, {}))
    downstream.run(SECTION, Inputs(tmp_path, {"ingest": first}))
    assert downstream.is_valid(SECTION, Inputs(tmp_path, {"ingest": first}))
    second = upstream.run(Words(words=("x",)), Inputs(tmp_path, {}))
    assert not downstream.is_valid(SECTION, Inputs(tmp_path, {"ingest": second}))


def test_volatile_files_do_not_change_the_digest_but_are_verified(tmp_path: Path) -> None:
    first = stage_with().run(SECTION, Inputs(tmp_path / "one", {}))
    second = stage_with().run(SECTION, Inputs(tmp_path / "two", {}))
    assert first.digest == second.digest
    (second.path / "time.txt").write_text("changed", encoding="utf-8")
    assert not stage_with().is_valid(SECTION, Inputs(tmp_path / "two", {}))


@pytest.mark.parametrize("damage", ["change", "remove", "add", "manifest"])
def test_damaged_outputs_are_made_again(tmp_path: Path, damage: str) -> None:
    inputs = Inputs(tmp_path, {})
    artifact = stage_with().run(SECTION, inputs)
    if damage == "change":
        (artifact.path / "words.txt").write_text("x", encoding="utf-8")
    elif damage == "remove":
        (artifact.path / "words.txt").unlink()
    elif damage == "add":
        (artifact.path / "more.txt").write_text("x", encoding="utf-8")
    else:
        (artifact.path / "manifest.json").write_text("{", encoding="utf-8")
    assert stage_with().run(SECTION, inputs).state == "ran"
    assert (artifact.path / "words.txt").read_text(encoding="utf-8") == "a b"


def test_bad_input_leaves_nothing_half_written(tmp_path: Path) -> None:
    def refuse(section: Words, inputs: Inputs, output: Output) -> Counted:
        (output.path / "half.txt").write_text("x", encoding="utf-8")
        raise BadInput("here", "this", "that")

    with pytest.raises(BadInput):
        stage_with(write=refuse).run(SECTION, Inputs(tmp_path, {}))
    assert not (tmp_path / "words").exists()
    assert not (tmp_path / ".words.partial").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_no_room_is_told_plainly(tmp_path: Path, code: int) -> None:
    def fail(section: Words, inputs: Inputs, output: Output) -> Counted:
        raise OSError(code, "no", str(output.path / "file"))

    with pytest.raises(BadWorkspace, match="RETUNE_HOME"):
        stage_with(write=fail).run(SECTION, Inputs(tmp_path, {}))


def test_other_os_errors_are_not_hidden(tmp_path: Path) -> None:
    def fail(section: Words, inputs: Inputs, output: Output) -> Counted:
        raise OSError(errno.EIO, "input/output error")

    with pytest.raises(OSError, match="input/output error"):
        stage_with(write=fail).run(SECTION, Inputs(tmp_path, {}))


def test_scratch_survives_a_crash_and_goes_when_done(tmp_path: Path) -> None:
    attempts: list[bool] = []

    def crash_once(section: Words, inputs: Inputs, output: Output) -> Counted:
        attempts.append((output.scratch / "half.txt").exists())
        (output.scratch / "half.txt").write_text("x", encoding="utf-8")
        if len(attempts) == 1:
            raise RuntimeError("crash")
        return write(section, inputs, output)

    stage = stage_with(write=crash_once)
    with pytest.raises(RuntimeError):
        stage.run(SECTION, Inputs(tmp_path, {}))
    (tmp_path / ".words.scratch" / ".nfs0001").touch()  # as a network's file system leaves them
    assert stage.run(SECTION, Inputs(tmp_path, {})).state == "ran"
    assert attempts == [False, True]
    assert not (tmp_path / ".words.scratch").exists()


def test_the_manifest_says_what_it_was_made_from(tmp_path: Path) -> None:
    artifact = stage_with(files=lambda section: {"source": "abc"}).run(
        SECTION, Inputs(tmp_path, {})
    )
    manifest = json.loads((artifact.path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["stage"] == "words"
    assert manifest["inputs"] == {"source": "abc"}
    assert manifest["section"] == {"words": ["a", "b"]}
    assert set(manifest["outputs"]) == {"words.txt"}
    assert set(manifest["volatile"]) == {"time.txt"}


def test_a_missing_artifact_names_the_stage(tmp_path: Path) -> None:
    with pytest.raises(BadWorkspace, match="run the stage split first"):
        load_artifact(tmp_path, "split")


def test_a_held_workspace_names_its_holder(tmp_path: Path) -> None:
    with (
        workspace_lock(tmp_path),
        pytest.raises(BadWorkspace, match="held by process"),
        workspace_lock(tmp_path),
    ):
        raise AssertionError("the lock was given twice")
    with workspace_lock(tmp_path):
        pass


def test_who_waits_for_a_held_workspace_gets_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "retune")
    with ThreadPoolExecutor(1) as pool:

        def wait() -> str:
            with workspace_lock(tmp_path, waits=True):
                return "held"

        with workspace_lock(tmp_path):
            waiting = pool.submit(wait)
            while not caplog.messages:
                assert not waiting.done()
        assert waiting.result() == "held"
    assert f"waiting for the workspace {tmp_path}, held by process {os.getpid()}" in caplog.text


def test_a_workspace_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(BadWorkspace, match="RETUNE_HOME"), workspace_lock(tmp_path / "file" / "w"):
        pass
