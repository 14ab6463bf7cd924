"""From answers to figures."""

from pathlib import Path
from typing import Any

import pytest

from tasks import forgetting
from tasks.config import Generation
from tasks.scoring.job import Job, Way
from tasks.scoring.results import Answers, metrics_of, predictions_of
from tasks.tracking.decision import Gates, decide
from tasks.tracking.evidence import evidence_of

SAID = {"tokens_per_request": 1.0}


def job_of(folder: Path, **changes: Any) -> Job:
    given: dict[str, Any] = {
        "examples": folder,
        "metrics": {"t": ("exact_match",)},
        "ways": {name: Way(model=folder) for name in ("tuned", "base")},
        "compare": (("tuned", "base"),),
        "generation": Generation(),
        "max_prompt_tokens": 8,
        "resamples": 1000,
        "seed": 7,
        "output": folder,
        "events": folder,
    }
    return Job(**(given | changes))


def test_a_mean_over_tasks_is_of_the_tasks_that_it_is_asked_for(tmp_path: Path) -> None:
    right = {"one": [True, True], "two": [True, False], "probe": [False, False]}
    examples = [
        {"id": f"{task}{row}", "task": task, "prompt": "?", "references": ["yes"]}
        for task, rows in right.items()
        for row in range(len(rows))
    ]
    texts = ["yes" if is_right else "no" for rows in right.values() for is_right in rows]
    answers = {
        "tuned": Answers(texts, [0.0] * len(texts), SAID),
        "base": Answers(["no"] * len(texts), [0.0] * len(texts), SAID),
    }
    job = job_of(tmp_path, metrics={task: ("exact_match",) for task in right}, means=("one", "two"))
    found = metrics_of(job, examples, answers)[1]
    assert found["ways"]["tuned"]["macro/primary"]["value"] == 0.75
    assert found["differences"]["tuned-base"]["macro"]["value"] == 0.75
    assert found["differences"]["tuned-base"]["tasks"]["probe"]["value"] == 0.0
    everything = metrics_of(job.model_copy(update={"means": ()}), examples, answers)[1]
    assert everything["ways"]["tuned"]["macro/primary"]["value"] == 0.5


@pytest.mark.parametrize(
    ("changed", "p", "is_sure"),
    [(1, 1.0, False), (3, 0.25, False), (5, 0.0625, False), (6, 0.03125, True)],
)
def test_a_handful_of_rows_decides_nothing(
    changed: int, p: float, is_sure: bool, tmp_path: Path
) -> None:
    right = ["yes"] * changed + ["no"] * (8 - changed)
    examples = [
        {"id": str(row), "task": "t", "prompt": "?", "references": ["yes"]} for row in range(8)
    ]
    answers = {
        "tuned": Answers(right, [0.0] * 8, SAID),
        "base": Answers(["no"] * 8, [0.0] * 8, SAID),
    }
    job = job_of(tmp_path, compare=(("tuned", "base"), ("base", "tuned")), min_effect=0.05)
    metrics = metrics_of(job, examples, answers)[1]
    gain = metrics["differences"]["tuned-base"]["macro"]
    assert gain["p"] == p if changed < 6 else p <= gain["p"] < 0.05
    assert gain["decided"] is is_sure
    gates = Gates(0.0, 0.05, beat_few_shot=False, fabrication_not_worse=False)
    assert decide(evidence_of(metrics, {}, gates)).promote is is_sure
    # The other way round it is forgetting.
    loss = metrics["differences"]["base-tuned"]["tasks"]["t"]
    assert forgetting.verdict(loss, 0.05) == ("forgotten" if is_sure else "uncertain")
    probe = {"delta": loss["value"], "high": loss["high"]}
    assert forgetting.judged({"t": probe}, 0.05)["within_budget"] is not is_sure


def test_a_short_answer_that_is_right_is_right(tmp_path: Path) -> None:
    examples = [
        {"id": "1", "task": "t", "template": "p", "prompt": "?", "references": ["le chat dort"]}
    ]
    answers = {"tuned": Answers(["le chat dort"], [0.0], SAID)}
    job = job_of(
        tmp_path, metrics={"t": ("bleu",)}, ways={"tuned": Way(model=tmp_path)}, compare=()
    )
    statistics, metrics = metrics_of(job, examples, answers)
    [row] = predictions_of(job, examples, answers, statistics)
    assert row["scores"]["tuned"]["bleu"] == 1.0
    assert metrics["ways"]["tuned"]["bleu"]["value"] == 0.0  # of the set, as sacrebleu has it
