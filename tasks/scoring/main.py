"""What the scoring process does, from its job file to the answers and metrics it writes.

Reports {"event": "generate", "way": "tuned", "done": 120, "total": 200, "examples_per_s": 31.2}.
"""

import gc
import hashlib
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from transformers import PreTrainedModel

from tasks.data.thoughts import without_thought
from tasks.errors import BadData
from tasks.launch import work
from tasks.processes import Processes
from tasks.scoring.answering import answers_of
from tasks.scoring.fewshot import Example
from tasks.scoring.generate import load_generator
from tasks.scoring.job import Job, Way
from tasks.scoring.results import Answers, metrics_of, phrasings_of, predictions_of
from tasks.scoring.vllm_engine import with_engine
from tasks.stage import write_json
from tasks.training.interpolate import blend
from tasks.training.model import load_model


def main(job_file: str) -> int:
    """Score as the job says; the result lies in its output folder."""
    job = Job.model_validate_json(Path(job_file).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as modules:
        # `evaluate` copies its modules before it imports them, by default into the user's home.
        os.environ["HF_MODULES_CACHE"] = modules
        return work(partial(_score, job), job.events)


def _score(job: Job) -> None:
    processes = Processes.join("gloo")
    examples = _examples(job)
    answers: dict[str, Answers] = {}
    every = job.generation, *job.own_generation.values()
    longest = max(every, key=lambda generation: generation.max_new_tokens)
    variants: list[dict[str, Any]] = []
    varied = None
    for _, group in groupby(job.ways.items(), key=lambda item: (item[1].model, item[1].alpha)):
        ways = dict(group)
        torch.manual_seed(job.seed)
        way = next(iter(ways.values()))
        prepare = partial(_blend, way)
        generator = load_generator(
            way.model,
            way.allow_pickle,
            way.from_scratch,
            prepare,
            way.chat_template,
            way.trust_remote_code,
        )
        with with_engine(generator, longest, job.max_prompt_tokens) as generator:
            for name, way in ways.items():
                answers[name] = answers_of(job, name, way, generator, examples, processes)
            if job.phrasings and name == list(job.ways)[-1]:
                variants = _with_references(pq.read_table(job.phrasings).to_pylist())
                varied = answers_of(job, "phrasings", way, generator, variants, processes)
        del generator
        gc.collect()
        torch.cuda.empty_cache()
    if not processes.is_first:
        return
    statistics, metrics = metrics_of(job, examples, answers)
    metrics["phrasings"] = phrasings_of(job, variants, varied) if varied else {}
    with (job.output / "predictions.jsonl").open("w", encoding="utf-8") as file:
        for row in predictions_of(job, examples, answers, statistics):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    write_json(job.output / "metrics.json", metrics)


def _blend(way: Way, model: PreTrainedModel) -> None:
    if way.alpha < 1:
        assert way.base is not None
        trust = way.trust_remote_code
        base = load_model(way.base, allow_pickle=way.allow_pickle, trust_remote_code=trust)
        blend(model, base, way.alpha)


def _examples(job: Job) -> list[Example]:
    """The examples to score, each with its `references`, in the file's order."""
    examples = _with_references(pq.read_table(job.examples).to_pylist())
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for example in examples:
        by_task[example["task"]].append(example)
    if set(by_task) != set(job.metrics):
        found = f"examples of the tasks {', '.join(by_task) or 'none'}"
        mend = "bring more records or a larger share of them to this split"
        raise BadData(str(job.examples), f"examples of {', '.join(job.metrics)}", found, mend)
    return [example for task in job.metrics for example in _chosen(by_task[task], job.max_examples)]


def _with_references(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for example in examples:
        # A label is what the model is to answer; the field behind it may hold a code instead.
        answers = [example["label"]] if example["label"] else example["references"]
        answers = answers or [example["completion"]]
        example["references"] = [without_thought(text) for text in answers]
    return examples


def _chosen(examples: Sequence[Example], max_examples: int | None) -> list[Example]:
    hashed = [hashlib.sha256(example["id"].encode()).digest() for example in examples]
    order = sorted(range(len(examples)), key=hashed.__getitem__)
    return [examples[index] for index in sorted(order[:max_examples])]
