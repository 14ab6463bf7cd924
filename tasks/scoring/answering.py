"""Has a model answer the examples in one way: each process its share, resumable after a kill.

The completions lie beside the events of the job until the stage is done:

    completions/few_shot-5f0c9a2b17d3e8a4.0.jsonl
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow.parquet as pq

from tasks.config import Generation
from tasks.data.thoughts import without_thought
from tasks.launch import report
from tasks.processes import Processes
from tasks.scoring.fewshot import Example, ShotPrompt, first_answer, with_shots
from tasks.scoring.generate import Completion, Generator, generate, prompt_limit
from tasks.scoring.job import Job, Way
from tasks.scoring.kept import Kept
from tasks.scoring.metrics import METRICS
from tasks.scoring.nats import nats_of
from tasks.scoring.results import Answers

REPORT_EVERY_S = 0.5


def answers_of(
    job: Job,
    name: str,
    way: Way,
    generator: Generator,
    examples: Sequence[Example],
    processes: Processes,
) -> Answers:
    """The answers of one way.

    Args:
        job: What is scored.
        name: Of the way.
        way: The way.
        generator: Its model.
        examples: What is to be answered.
        processes: This one, among those that answer.
    """
    prompts = _prompts(job, way, generator, examples)
    writes = [row for row, example in enumerate(examples) if _reads(job, example, False)]
    completions: dict[int, Completion] = {}
    for generation, rows in _by_generation(job, examples, writes).items():
        texts = [prompts[row].text for row in rows]
        made = _completions(job, name, way, generator, generation, texts, processes)
        completions |= zip(rows, made, strict=True)
    written = [""] * len(examples)
    for row, completion in completions.items():
        written[row] = without_thought(first_answer(completion.text, prompts[row].shots))
    return Answers(
        texts=written,
        nats=_nats(job, generator, examples, prompts, processes),
        generation=_generation_facts(way, prompts, list(completions.values())),
    )


def _by_generation(
    job: Job, examples: Sequence[Example], rows: Sequence[int]
) -> Mapping[Generation, Sequence[int]]:
    """The rows of examples whose completions are generated alike."""
    alike: dict[Generation, list[int]] = defaultdict(list)
    for row in rows:
        alike[job.own_generation.get(examples[row]["task"], job.generation)].append(row)
    return alike


def _reads(job: Job, example: Example, likelihoods: bool) -> bool:
    """Whether a metric of the example's task reads likelihoods, or one something else."""
    metrics = job.metrics[example["task"]]
    return any((METRICS[name].reads == "likelihoods") is likelihoods for name in metrics)


def _nats(
    job: Job,
    generator: Generator,
    examples: Sequence[Example],
    prompts: Sequence[ShotPrompt],
    processes: Processes,
) -> list[float]:
    reads = [row for row, example in enumerate(examples) if _reads(job, example, True)]
    nats = [0.0] * len(examples)
    for generation, rows in _by_generation(job, examples, reads).items():
        expected = [examples[row]["references"][0] for row in rows]
        texts = [prompts[row].text for row in rows]
        limit = job.max_prompt_tokens
        takes = partial(_is_own, processes)
        share = nats_of(generator, texts, expected, generation, limit, takes)
        for row, value in zip(rows, processes.sums(share), strict=True):
            nats[row] = value
    return nats


def _is_own(processes: Processes, batch: int) -> bool:
    """Whether the batch of this number is among this process's share."""
    return batch % processes.size == processes.rank


def _completions(
    job: Job,
    name: str,
    way: Way,
    generator: Generator,
    generation: Generation,
    prompts: Sequence[str],
    processes: Processes,
) -> Sequence[Completion]:
    """Completions of all processes; those that an earlier attempt left are not made again."""
    settings = [way, generation]
    made_from = [
        [part.model_dump(mode="json") for part in settings],
        job.max_prompt_tokens,
        prompts,
    ]
    kept = Kept.of(job.events.parent / "completions", name, made_from, processes.rank)
    processes.wait()  # what one process reads here, another must not be writing
    known = kept.read().keys()

    def skips(number: int, batch: Sequence[int]) -> bool:
        return not _is_own(processes, number) or known >= set(batch)

    tell = _reporter(job, name, len(known), len(prompts))
    processes.wait()
    done = len(known)
    for batch in generate(generator, prompts, generation, job.max_prompt_tokens, skips):
        kept.add(batch)
        done += len(batch) * processes.size
        if processes.is_first:
            tell(min(done, len(prompts)))
    processes.wait()
    if processes.is_first:
        tell(len(prompts))
    return kept.in_order(len(prompts))


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


def _reporter(job: Job, way: str, known: int, total: int) -> Callable[[int], None]:
    """What tells the launcher how many are done; the rate is that of this attempt."""
    started = time.monotonic()
    last, last_done = started, -1

    def reported(done: int) -> None:
        nonlocal last, last_done
        now = time.monotonic()
        if done != last_done and (now - last >= REPORT_EVERY_S or done == total):
            last, last_done = now, done
            rate = round((done - known) / max(now - started, 1e-6), 2)
            report(job.events, "generate", way=way, done=done, total=total, examples_per_s=rate)

    return reported


def _generation_facts(
    way: Way, prompts: Sequence[ShotPrompt], completions: Sequence[Completion]
) -> dict[str, Any]:
    """Facts of a way's generation besides its scores; tokens are means per example."""
    tokens = sum(done.num_prompt_tokens + done.num_tokens for done in completions)
    fitted = [len(prompt.shots) for prompt in prompts]
    return {
        "truncated_prompts": sum(done.truncated_prompt for done in completions),
        "hit_length_limit": sum(done.hit_length_limit for done in completions),
        "tokens_per_request": round(tokens / max(len(completions), 1), 2),
        "shots": {
            "asked": way.shots,
            "fitted_mean": round(sum(fitted) / len(fitted), 3),
            "fitted": {str(shots): fitted.count(shots) for shots in sorted(set(fitted))},
        },
    }
