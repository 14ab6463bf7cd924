"""How long ingest, template, split and tokenizing take as the data grow, and how much memory.

    python benchmarks/scale.py --rows 10000 100000

Dialogues of the generator of chats between friends; each stage runs in a process of its own, as
DVC runs it, with near-duplicate search. Memory is the most that all of a stage's processes hold at
once, sampled every 20 ms. Results go to benchmarks/results/scale.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "scale.json"
SAMPLE_S = 0.02
RECIPE = """\
name: scale
base_model: {path: MODEL}
tasks: [{name: chats, source: {path: ROWS}, prompts: dialogue_summary}]
registry: {model: scale}
"""
TOKENIZE = """\
import sys
from pathlib import Path
from transformers import AutoTokenizer
from tasks.config import Train
from tasks.training.encoding import encode_examples
split, model, tokens = map(Path, sys.argv[1:])
tokenizer = AutoTokenizer.from_pretrained(model)
encode_examples(split / "train.parquet", tokenizer, True, Train(), tokens)
"""


def measured(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Seconds of a command, and the most memory that it and its children hold, in bytes."""
    started = time.monotonic()
    process = psutil.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _resident(process))
        time.sleep(SAMPLE_S)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with exit code {process.returncode}")
    return {"seconds": round(time.monotonic() - started, 2), "peak_memory_bytes": peak}


def _resident(process: psutil.Process) -> int:
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            total += member.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # it has just ended
    return total


def run(num_rows: int, folder: Path) -> dict[str, Any]:
    """Measure every stage on a number of rows."""
    rows, model = folder / "rows.jsonl", ROOT / "models" / "pocket-flan"
    generator = [sys.executable, "-m", "data.generators.friend_chats"]
    subprocess.run([*generator, "--rows", str(num_rows), "--out", str(rows)], cwd=ROOT, check=True)
    recipe = folder / "scale.yaml"
    recipe.write_text(RECIPE.replace("ROWS", str(rows)).replace("MODEL", str(model)))
    environment = {**os.environ, "RETUNE_HOME": str(folder), "TOKENIZERS_PARALLELISM": "true"}
    stages = {}
    for stage in ("ingest", "template", "split"):
        command = [sys.executable, "-m", f"tasks.{stage}", "--recipe", str(recipe)]
        stages[stage] = measured(command, environment)
    places = [folder / "workspaces" / "scale" / "split", model, folder / "tokens"]
    tokenize = [sys.executable, "-c", TOKENIZE, *map(str, places)]
    stages["tokenize"] = measured(tokenize, environment)
    return {
        "rows": num_rows,
        "seconds": round(sum(entry["seconds"] for entry in stages.values()), 2),
        "peak_memory_bytes": max(entry["peak_memory_bytes"] for entry in stages.values()),
        "stages": stages,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the data stages as the data grow.")
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000])
    results = []
    for num_rows in parser.parse_args().rows:
        with tempfile.TemporaryDirectory() as folder:
            results.append(run(num_rows, Path(folder)))
        told = results[-1]
        print(f"{num_rows:>9,} rows  {told['seconds']:>7.1f} s  ", end="")
        print(f"{told['peak_memory_bytes'] / 2**30:.2f} GiB  {told['stages']}")
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "memory_bytes": psutil.virtual_memory().total}
    RESULTS.write_text(json.dumps({"machine": machine, "runs": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
