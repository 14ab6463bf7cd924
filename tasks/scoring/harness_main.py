"""Entry point of scoring by the lm-evaluation-harness: `torchrun -m tasks.scoring.harness_main`.

Reports {"event": "harness", "way": "tuned", "done": 1, "total": 2}.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from tasks.ending import run_and_end
from tasks.errors import BadInput
from tasks.launch import report, work
from tasks.scoring.harness import HarnessJob
from tasks.scoring.job import Way
from tasks.training.model import load_model, load_tokenizer
from tasks.training.precision import pick_device

BATCH_ROWS = 16
Samples = Mapping[str, Sequence[Mapping[str, Any]]]


def main(job_file: str) -> int:
    """Score as the job says."""
    job = HarnessJob.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    return work(partial(_score, job), job.events)


def _score(job: HarnessJob) -> None:
    manager = TaskManager(include_path=job.harness.include_path)
    unknown = [task for task in job.harness.tasks if not manager.match_tasks([task])]
    if unknown:
        mend = "take a name that `lm_eval ls tasks` lists, or give include_path"
        raise BadInput("harness.tasks", "tasks of the harness", ", ".join(unknown), mend)
    samples: dict[str, Samples] = {}
    for number, (name, way) in enumerate(job.ways.items(), 1):
        samples[name] = _samples(job, way, manager)
        report(job.events, "harness", way=name, done=number, total=len(job.ways))
    with job.output.open("w", encoding="utf-8") as file:
        for row in rows_of(samples):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _samples(job: HarnessJob, way: Way, manager: TaskManager) -> Samples:
    """What the harness kept of each row of each task, for one model."""
    trust = way.trust_remote_code
    model = load_model(way.model, way.from_scratch, way.allow_pickle, trust_remote_code=trust)
    model.to(pick_device())  # type: ignore[arg-type]
    found = simple_evaluate(
        model=HFLM(
            pretrained=model,
            tokenizer=load_tokenizer(way.model, way.chat_template, trust),
            backend="seq2seq" if model.config.is_encoder_decoder else "causal",
            batch_size=BATCH_ROWS,
        ),
        tasks=list(job.harness.tasks),
        task_manager=manager,
        num_fewshot=job.harness.num_fewshot,
        limit=job.harness.max_examples,
        log_samples=True,
        bootstrap_iters=0,
        random_seed=job.seed,
        fewshot_random_seed=job.seed,
    )
    kept: Samples = found["samples"]
    return kept


def rows_of(samples: Mapping[str, Samples]) -> list[dict[str, Any]]:
    """Join what the harness kept of the models, row by row.

    Args:
        samples: Way -> task -> what `simple_evaluate` logged of each row.

    Raises:
        BadInput: A task has no metric with a figure in [0, 1] for each row.
    """
    tasks = next(iter(samples.values()))
    rows = []
    for task in tasks:
        of_ways = {way: _by_row(kept[task]) for way, kept in samples.items()}
        metric = _metric(task, [row for kept in of_ways.values() for row in kept.values()])
        for number in next(iter(of_ways.values())):
            kept = {way: of_way[number] for way, of_way in of_ways.items()}
            rows.append(_row(f"{task}/{number}", task, metric, kept))
    return rows


def _by_row(samples: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    """The samples by their number; of a task with several filters, those of the first."""
    by_row: dict[int, Mapping[str, Any]] = {}
    for sample in samples:
        by_row.setdefault(sample["doc_id"], sample)
    return by_row


def _metric(task: str, samples: Sequence[Mapping[str, Any]]) -> str:
    for metric in samples[0]["metrics"]:
        if all(_is_share(sample.get(metric)) for sample in samples):
            return str(metric)
    found = f"only {', '.join(samples[0]['metrics'])}"
    expected = "a metric that gives each row a figure from 0 to 1"
    raise BadInput(f"harness.tasks: {task}", expected, found, "leave this task out")


def _is_share(figure: Any) -> bool:
    return isinstance(figure, int | float) and 0.0 <= figure <= 1.0


def _row(
    row_id: str, task: str, metric: str, kept: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    first = next(iter(kept.values()))
    return {
        "id": row_id,
        "task": task,
        "prompt": first["arguments"][0][0],
        "references": [str(first["target"])],
        "completions": {way: _answer(sample) for way, sample in kept.items()},
        "scores": {way: {metric: float(sample[metric])} for way, sample in kept.items()},
    }


def _answer(sample: Mapping[str, Any]) -> str:
    """The likeliest choice of a multiple-choice task, the text of one that generates."""
    answers = sample["filtered_resps"]
    if isinstance(answers[0], str):
        return answers[0]
    likelihoods = [answer[0] for answer in answers]
    return str(sample["arguments"][likelihoods.index(max(likelihoods))][1]).strip()


if __name__ == "__main__":
    run_and_end(main)
