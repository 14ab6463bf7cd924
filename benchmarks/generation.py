"""Throughput of the scoring engine against what a user would write with transformers.

    python benchmarks/generation.py --model models/pocket-flan --rows 100 --rounds 3

The prompts are long ones, chats to be summarized, and short ones, sentences to find names in. `one`
is a loop of `model.generate` over one example at a time, `naive16` batches of 16 in the given
order, `engine` is `tasks.scoring`, all greedy and in fp32, with the same length limit. They take
turns, so what else the machine does hits all of them; ratios are medians over the rounds, of the
time that passed and of processor time.
Results go to benchmarks/results/generation.json.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tasks.config import Generation
from tasks.prompts.library import load_prompts
from tasks.prompts.render import choose_template, render
from tasks.scoring.generate import Generator, complete, load_generator

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "generation.json"
MAX_PROMPT_TOKENS = 512
WORKLOADS = {
    "chats": ("data/support_chat.jsonl", "dialogue_summary"),
    "sentences": ("data/probes/named_entities.jsonl", "named_entities"),
}
"""Name -> records and prompt file."""


def prompts_of(workload: str, rows: int) -> list[str]:
    """The first prompts of a workload; of its test split, where it has one."""
    data, prompt_file = WORKLOADS[workload]
    prompts = load_prompts(prompt_file)
    lines = (ROOT / data).read_text(encoding="utf-8").splitlines()
    records = [r for r in map(json.loads, lines) if r.get("split", "test") == "test"][:rows]
    return [
        render(prompts, record, choose_template(record["id"], prompts.training, 7)).prompt
        for record in records
    ]


@torch.inference_mode()
def naive(
    generator: Generator, prompts: Sequence[str], max_new_tokens: int, size: int
) -> list[str]:
    """Batches of a size in the given order, by `model.generate`."""
    tokenizer, texts = generator.tokenizer, []
    for start in range(0, len(prompts), size):
        batch: Any = tokenizer(
            list(prompts[start : start + size]),
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=MAX_PROMPT_TOKENS,
        )
        generate: Any = generator.model.generate
        output = generate(**batch, do_sample=False, max_new_tokens=max_new_tokens)
        texts += tokenizer.batch_decode(output, skip_special_tokens=True)
    return [text.strip() for text in texts]


def engine(generator: Generator, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
    """The scoring engine."""
    generation = Generation(max_new_tokens=max_new_tokens)
    completions = complete(generator, prompts, generation, MAX_PROMPT_TOKENS)
    return [completion.text for completion in completions]


def timed(work: Callable[[], list[str]]) -> tuple[list[str], float, float]:
    """What it returns, seconds passed and seconds of processor time."""
    passed, used = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - passed, time.process_time() - used


def measured(
    generator: Generator, prompts: Sequence[str], rounds: int, max_new_tokens: int
) -> dict[str, Any]:
    """Run all ways in turn."""
    ways: dict[str, Callable[[], list[str]]] = {
        "one": partial(naive, generator, prompts, max_new_tokens, 1),
        "naive16": partial(naive, generator, prompts, max_new_tokens, 16),
        "engine": partial(engine, generator, prompts, max_new_tokens),
    }
    engine(generator, prompts[:8], max_new_tokens)  # first calls are slower
    passed: dict[str, list[float]] = {way: [] for way in ways}
    used: dict[str, list[float]] = {way: [] for way in ways}
    texts = {}
    for _ in range(rounds):
        for way, work in ways.items():
            texts[way], seconds, processor = timed(work)
            passed[way].append(seconds)
            used[way].append(processor)
            print(f"{way:8} {len(prompts) / seconds:7.1f} examples/s", flush=True)

    def ratio(times: dict[str, list[float]], way: str) -> float:
        pairs = zip(times[way], times["engine"], strict=True)
        return round(statistics.median(slow / fast for slow, fast in pairs), 2)

    lengths = [len(generator.tokenizer(text)["input_ids"]) for text in texts["engine"]]
    return {
        "examples": len(prompts),
        "mean_prompt_tokens": _mean([len(generator.encode(p, None)[0]) for p in prompts]),
        "mean_completion_tokens": _mean(lengths),
        "examples_per_s": {
            way: round(len(prompts) / statistics.median(passed[way]), 1) for way in ways
        },
        "speedup": {way: ratio(passed, way) for way in ("one", "naive16")},
        "speedup_of_processor_time": {way: ratio(used, way) for way in ("one", "naive16")},
        "same_outputs": {
            way: sum(map(str.__eq__, texts[way], texts["engine"])) for way in ("one", "naive16")
        },
    }


def _mean(numbers: Sequence[int]) -> float:
    return round(statistics.mean(numbers), 1)


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("models/pocket-flan"))
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-new-tokens", type=int, default=80)
    given = parser.parse_args()
    generator = load_generator(given.model)
    results: dict[str, Any] = {
        "model": str(given.model),
        "threads": torch.get_num_threads(),
        "rounds": given.rounds,
    }
    for workload in WORKLOADS:
        prompts = prompts_of(workload, given.rows)
        results[workload] = measured(generator, prompts, given.rounds, given.max_new_tokens)
    print(json.dumps(results, indent=2))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
