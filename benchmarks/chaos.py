"""Faults at seeded moments of real runs: how many runs survive, and how soon they are done.

    python benchmarks/chaos.py --trials 100 --seed 7

Each trial is a real `retune run` of a tiny model in processes of its own, disturbed once
(tests/chaos/faults.py), and judged by what is there at the end: the same digests as without the
fault, the model registered exactly once, one finished MLflow run. Trial N has the seed SEED + N.
`--long` of the trials, the first ones, are of faults that take minutes; the others take turns.
Results go to benchmarks/results/chaos.{json,md} after each trial.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT))

from tests.chaos.faults import FAULTS  # noqa: E402
from tests.chaos.trials import Outcome, trial  # noqa: E402
from tests.chaos.world import Reference  # noqa: E402


def plan(num_trials: int, num_long: int) -> list[str]:
    """The fault of each trial."""
    possible = {name: fault for name, fault in FAULTS.items() if fault.possible()}
    long = cycle([name for name, fault in possible.items() if fault.is_long])
    usual = cycle([name for name, fault in possible.items() if not fault.is_long])
    return [*islice(long, num_long), *islice(usual, num_trials - num_long)]


def summary(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Fault -> trials, those survived, and seconds from the fault to the registered model."""
    told = {}
    for fault in dict.fromkeys(outcome.fault for outcome in outcomes):
        of_it = [outcome for outcome in outcomes if outcome.fault == fault]
        seconds = [o.recovery_s for o in of_it if o.recovery_s is not None]
        told[fault] = {
            "trials": len(of_it),
            "survived": len(seconds),
            "median_s": round(statistics.median(seconds), 1) if seconds else None,
            "longest_s": max(seconds, default=None),
        }
    return told


def write(outcomes: Sequence[Outcome], seed: int, undisturbed_s: float, load: float) -> None:
    """Both files of results."""
    by_fault = summary(outcomes)
    total = {
        "trials": len(outcomes),
        "survived": sum(outcome.survived for outcome in outcomes),
        "seed": seed,
        "cores": os.cpu_count(),
        "load_before": load,
        "undisturbed_s": round(undisturbed_s, 1),
    }
    trials = [asdict(outcome) for outcome in outcomes]
    content = {**total, "faults": by_fault, "trials_one_by_one": trials}
    (RESULTS / "chaos.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "chaos.md").write_text(table(total, by_fault), encoding="utf-8")


def table(total: dict[str, Any], by_fault: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown."""
    lines = [
        f"{total['survived']} of {total['trials']} trials survived (seed {total['seed']}, "
        f"{total['cores']} cores, load {total['load_before']} beforehand). A run that nobody "
        f"disturbs took {total['undisturbed_s']} s.",
        "",
        "| fault | trials | survived | median s from fault to model | longest s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for fault, told in by_fault.items():
        cells = [fault, *(str(value) for value in told.values())]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Make the trials; exit code 1 if one did not survive."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--long", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    told = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # after which nothing is left running
    outcomes: list[Outcome] = []
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        reference = Reference(Path(folder) / "reference")
        for number, fault in enumerate(plan(told.trials, told.long)):
            outcomes.append(trial(reference, fault, told.seed + number, Path(folder) / str(number)))
            print(f"{number + 1}/{told.trials}", outcomes[-1], file=sys.stderr, flush=True)
            write(outcomes, told.seed, reference.seconds, load)
    return int(not all(outcome.survived for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
