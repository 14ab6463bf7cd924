"""Entry point of the scoring process: `torchrun -m tasks.scoring JOB.json`.

Reports {"event": "generate", "way": "tuned", "done": 120, "total": 200, "examples_per_s": 31.2}.
"""

import gc
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from tasks.errors import BadData
from tasks.launch import report, work
from tasks.scoring.fewshot import Example, ShotPrompt, first_answer, with_shots
from tasks.scoring.generate import (
    Completion,
    Generator,
    complete,
    load_generator,
    prompt_limit,
)
from tasks.scoring.job import Job, Way
from tasks.scoring.results import Answers, metrics_of, predictions_of
from tasks.stage import write_json

REPORT_EVERY_S = 0.5


def main(job_file: str) -> int:
    """Score as the job says; the result lies in its output folder."""
    job = Job.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as modules:
        # `evaluate` copies its modules before it imports them, by default into the user's home.
        os.environ["HF_MODULES_CACHE"] = modules
        return work(partial(_score, job), job.events)


def _score(job: Job) -> None:
    examples = _examples(job)
    answers: dict[str, Answers] = {}
    for _, group in groupby(job.ways.items(), key=lambda item: item[1].model):
        ways = dict(group)
        torch.manual_seed(job.seed)
        way = next(iter(ways.values()))
        generator = load_generator(way.model, way.allow_pickle, way.from_scratch)
        for name, way in ways.items():
            answers[name] = _answers(job, name, way, generator, examples)
        del generator
        gc.collect()
        torch.cuda.empty_cache()
    statistics, metrics = metrics_of(job, examples, answers)
    with (job.output / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for row in predictions_of(job, examples, answers, statistics):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    write_json(job.output / "metrics.json", metrics)


def _examples(job: Job) -> list[Example]:
    """The examples to score, each with its `references`, in the file's order."""
    examples: list[dict[str, Any]] = pq.read_table(job.examples).to_pylist()
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for example in examples:
        # A label is what the model is to answer; the field behind it may hold a code instead.
        answers = [example["label"]] if example["label"] else example["references"]
        example["references"] = answers or [example["completion"]]
        by_task[example["task"]].append(example)
    if set(by_task) != set(job.metrics):
        found = f"examples of the tasks {', '.join(by_task) or 'none'}"
        mend = "bring more records or a larger share of them to this split"
        raise BadData(str(job.examples), f"examples of {', '.join(job.metrics)}", found, mend)
    return [example for task in job.metrics for example in _chosen(by_task[task], job.max_examples)]


def _chosen(examples: Sequence[Example], max_examples: int | None) -> list[Example]:
    hashed = [hashlib.sha256(example["id"].encode()).digest() for example in examples]
    order = sorted(range(len(examples)), key=hashed.__getitem__)
    return [examples[index] for index in sorted(order[:max_examples])]


def _answers(
    job: Job, name: str, way: Way, generator: Generator, examples: Sequence[Example]
) -> Answers:
    prompts = _prompts(job, way, generator, examples)
    completions = complete(
        generator,
        [prompt.text for prompt in prompts],
        job.generation,
        job.max_prompt_tokens,
        _reporter(job, name, len(examples)),
    )
    return Answers(
        texts=[
            first_answer(completion.text, prompt.shots)
            for completion, prompt in zip(completions, prompts, strict=True)
        ],
        generation=_told(way, prompts, completions),
    )


def _prompts(
    job: Job, way: Way, generator: Generator, examples: Sequence[Example]
) -> list[ShotPrompt]:
    if not way.shots:
        return [ShotPrompt(example["prompt"]) for example in examples]
    limit = prompt_limit(generator, job.max_prompt_tokens, job.generation)
    pools: dict[str, list[Example]] = defaultdict(list)
    for example in pq.read_table(
        job.shots_from, columns=["id", "task", "prompt", "completion"]
    ).to_pylist():
        pools[example["task"]].append(example)

    def fits(text: str) -> bool:
        return len(generator.encode(text, None)[0]) <= limit

    return [
        with_shots(example, pools[example["task"]], way.shots, job.seed, fits)
        for example in examples
    ]


def _reporter(job: Job, way: str, total: int) -> Callable[[int], None]:
    started = time.monotonic()
    last = started

    def reported(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= REPORT_EVERY_S or done == total:
            last = now
            rate = round(done / max(now - started, 1e-6), 2)
            report(job.events, "generate", way=way, done=done, total=total, examples_per_s=rate)

    return reported


def _told(
    way: Way, prompts: Sequence[ShotPrompt], completions: Sequence[Completion]
) -> dict[str, Any]:
    """What there is to know of a way besides its scores; tokens are means per example."""
    tokens = sum(done.num_prompt_tokens + done.num_tokens for done in completions)
    fitted = sum(len(prompt.shots) for prompt in prompts)
    return {
        "truncated_prompts": sum(done.truncated_prompt for done in completions),
        "hit_length_limit": sum(done.hit_length_limit for done in completions),
        "tokens_per_request": round(tokens / len(completions), 2),
        "shots": {"asked": way.shots, "fitted_mean": round(fitted / len(prompts), 3)},
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
