"""A sample of the training examples, for what is to be known of them before they are tokenized.

sample_examples(workspace / "split" / "train.parquet", seed=7)
-> {"chats": 1061}, [{"task": "chats", "prompt": "Summarize: ...", "completion": "Tom asks"}, ...]
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

SAMPLE_EXAMPLES = 500
"""Training examples that are looked at, divided equally among the tasks."""


def sample_examples(path: Path, seed: int) -> tuple[dict[str, int], list[dict[str, str]]]:
    """Count the training examples and pick some, as many of each task.

    Args:
        path: `train.parquet` of the stage split.
        seed: Seed of the choice.

    Returns:
        Task -> examples; and at most 500 examples with `task`, `prompt` and `completion`.
    """
    with pq.ParquetFile(path) as file:
        tasks = np.asarray(file.read(columns=["task"])["task"].to_pylist())
        names, counts = np.unique(tasks, return_counts=True)
        shuffled = np.random.default_rng(seed).permutation(len(tasks))
        most = SAMPLE_EXAMPLES // len(names)
        chosen = np.sort(
            np.concatenate([shuffled[tasks[shuffled] == name][:most] for name in names])
        )
        sample, start = [], 0
        for batch in file.iter_batches(columns=["task", "prompt", "completion"]):
            inside = chosen[(chosen >= start) & (chosen < start + batch.num_rows)] - start
            sample += batch.take(inside).to_pylist()
            start += batch.num_rows
    return dict(zip(names.tolist(), counts.tolist(), strict=True)), sample
