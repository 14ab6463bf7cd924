"""The scoring process: killed and started again, and as several ranks."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import tasks.scoring.job
from tasks.config import Generation
from tasks.scoring.job import Job, Way, processes_of, score
from tasks.scoring.kept import Kept
from tests.toy import examples, save_model, write_examples

NUM_EXAMPLES = 60
BATCH = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), "t5")


def job_in(folder: Path, model: Path) -> Job:
    """Sampled, so that a completion made anew in another state would differ."""
    output, scratch = folder / "output", folder / "scratch"
    output.mkdir(parents=True)
    scratch.mkdir()
    return Job(
        examples=write_examples(folder / "examples.parquet", examples("echo", NUM_EXAMPLES)),
        metrics={"echo": ("rougeL", "inverse_perplexity")},
        ways={"tuned": Way(model=model)},
        generation=Generation(max_new_tokens=100, temperature=1.0, batch_tokens=BATCH * 130),
        max_prompt_tokens=100,
        resamples=1000,
        seed=7,
        output=output,
        events=scratch / "events.jsonl",
    )


@pytest.fixture(scope="module")
def undisturbed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What an uninterrupted run of one rank predicts."""
    job = job_in(tmp_path_factory.mktemp("undisturbed"), model)
    score(job, job.events.parent, "test")
    return (job.output / "predictions.jsonl").read_text()


def lines_of(folder: Path) -> list[str]:
    paths = sorted(folder.glob("completions/tuned-*.jsonl"))
    return [line for path in paths for line in path.read_text().splitlines() if line]


def test_a_killed_run_goes_on(tmp_path: Path, model: Path, undisturbed: str) -> None:
    job = job_in(tmp_path, model)
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json())
    child = subprocess.Popen([sys.executable, "-m", "tasks.scoring", str(path)])
    while len(before := lines_of(tmp_path / "scratch")) < 2 * BATCH:
        assert child.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = lines_of(tmp_path / "scratch")
    assert len(before) < NUM_EXAMPLES
    assert not (job.output / "predictions.jsonl").exists()
    score(job, tmp_path / "scratch", "test")
    after = lines_of(tmp_path / "scratch")
    assert after[: len(before)] == before
    assert len(after) <= NUM_EXAMPLES + BATCH  # at most the batch that the kill tore
    assert (job.output / "predictions.jsonl").read_text() == undisturbed


@pytest.mark.parametrize(("counts", "found"), [("visible_gpus", ("0", "1")), ("num_cores", 2)])
def test_two_ranks_predict_what_one_does(
    tmp_path: Path, model: Path, undisturbed: str, monkeypatch: pytest.MonkeyPatch,
    counts: str, found: Any,
) -> None:  # fmt: skip
    job = job_in(tmp_path, model)
    monkeypatch.setattr(tasks.scoring.job, counts, lambda: found)
    score(job, tmp_path / "scratch", "test")
    files = sorted((tmp_path / "scratch" / "completions").glob("*.jsonl"))
    assert [file.suffixes for file in files] == [[".0", ".jsonl"], [".1", ".jsonl"]]
    shares = [len([line for line in file.read_text().splitlines() if line]) for file in files]
    assert sum(shares) == NUM_EXAMPLES and min(shares) > NUM_EXAMPLES // 3
    assert (job.output / "predictions.jsonl").read_text() == undisturbed
    events = [json.loads(line) for line in job.events.read_text().splitlines()]
    assert events[-1]["done"] == events[-1]["total"] == NUM_EXAMPLES


@pytest.mark.parametrize(
    ("cores", "gib", "gpus", "processes"),
    [(2, 16, 0, 2), (8, 16, 0, 3), (8, 2.5, 0, 2), (8, 0.5, 0, 1), (2, 16, 4, 4)],
)
def test_as_many_processes_as_there_is_room_for(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch,
    cores: int, gib: float, gpus: int, processes: int,
) -> None:  # fmt: skip
    """The examples are enough for three on a CPU."""
    monkeypatch.setattr(tasks.scoring.job, "num_cores", lambda: cores)
    monkeypatch.setattr(tasks.scoring.job, "available_memory_bytes", lambda: int(gib * 2**30))
    monkeypatch.setattr(tasks.scoring.job, "visible_gpus", lambda: tuple(map(str, range(gpus))))
    job = job_in(tmp_path, model)
    assert processes_of(job) == processes
    assert processes_of(job.model_copy(update={"generation": Generation(engine="vllm")})) == 1


def test_other_prompts_or_settings_keep_other_files(tmp_path: Path) -> None:
    def named(made_from: Any) -> str:
        return Kept.of(tmp_path, "base", made_from, 0).name

    assert named({"a": 1}) == named({"a": 1}) != named({"a": 2})


def test_a_torn_line_does_not_count(tmp_path: Path) -> None:
    from tasks.scoring.generate import Completion

    kept = Kept.of(tmp_path, "base", {}, 0)
    done = Completion("Zoë said: ü\u2028", 3, 2, False, True)
    kept.add({4: done})
    with (tmp_path / f"{kept.name}.0.jsonl").open("a") as file:
        file.write('\n{"index": 5, "text": "to')
    kept.add({6: done})
    assert kept.read() == {4: done, 6: done}
