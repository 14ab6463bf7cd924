"""From answers to figures."""

from pathlib import Path

from tasks.config import Generation
from tasks.scoring.job import Job, Way
from tasks.scoring.results import Answers, metrics_of


def test_a_mean_over_tasks_is_of_the_tasks_that_it_is_asked_for(tmp_path: Path) -> None:
    right = {"one": [True, True], "two": [True, False], "probe": [False, False]}
    examples = [
        {"id": f"{task}{row}", "task": task, "prompt": "?", "references": ["yes"]}
        for task, rows in right.items()
        for row in range(len(rows))
    ]
    texts = ["yes" if is_right else "no" for rows in right.values() for is_right in rows]
    said = {"tokens_per_request": 1.0}
    answers = {
        "tuned": Answers(texts, [0.0] * len(texts), said),
        "base": Answers(["no"] * len(texts), [0.0] * len(texts), said),
    }
    job = Job(
        examples=tmp_path,
        metrics={task: ("exact_match",) for task in right},
        ways={name: Way(model=tmp_path) for name in answers},
        compare=(("tuned", "base"),),
        means=("one", "two"),
        generation=Generation(),
        max_prompt_tokens=8,
        resamples=1000,
        seed=7,
        output=tmp_path,
        events=tmp_path,
    )
    found = metrics_of(job, examples, answers)[1]
    assert found["ways"]["tuned"]["macro/primary"]["value"] == 0.75
    assert found["differences"]["tuned-base"]["macro"]["value"] == 0.75
    assert found["differences"]["tuned-base"]["tasks"]["probe"]["value"] == 0.0
    everything = metrics_of(job.model_copy(update={"means": ()}), examples, answers)[1]
    assert everything["ways"]["tuned"]["macro/primary"]["value"] == 0.5
