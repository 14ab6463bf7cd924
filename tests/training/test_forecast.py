"""The micro-batch that memory is forecast for, against those that a process is given."""

from typing import Any

import numpy as np
import pytest

from tasks.config import Train
from tasks.processes import Processes
from tasks.training.batching import collate, plan_steps
from tasks.training.cost import micro_batch_tokens, validation_tokens
from tasks.training.examples import Examples, Ragged
from tasks.training.forecast import alternatives, shape_of
from tasks.training.processes import share_of


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "grouped"])
@pytest.mark.parametrize(
    ("options", "accumulates"),
    [
        ({"batch_tokens": 16_384}, None),
        ({"batch_tokens": 16_384, "micro_batch_tokens": 1024}, True),
        ({"batch_tokens": 16_384, "launch": {"processes_per_node": 8}}, True),
        (
            {"batch_tokens": 16_384, "launch": {"processes_per_node": 8, "accelerate": "fsdp"}},
            False,
        ),
    ],
)
def test_a_process_gets_micro_batches_of_the_size_that_is_forecast(
    packs: bool, options: dict[str, Any], accumulates: bool | None
) -> None:
    train = Train.model_validate(options)
    draw, names = np.random.default_rng(5), np.array(["a"] * 800)
    lengths = [draw.integers(mean // 2, 2 * mean, len(names)) for mean in (90, 20)]
    sides = [Ragged.of_lengths(np.ones(length.sum(), np.int32), length) for length in lengths]
    examples = Examples(names, names, *sides, 0, 0)
    rows = draw.permutation(len(names))
    steps = plan_steps(rows, examples, train, micro_batch_tokens(train, True), packs, seed=1)
    first = Processes(0, train.launch.num_processes)
    shares = [share_of(first, step) for step in steps]
    padded = [
        collate(part, examples, not packs, 0, 0, packs).num_padded
        for share in shares
        for part, _ in share
    ]
    shape = shape_of(train, max(lengths[0]), max(lengths[1]), True, packs)
    tokens = shape.rows * (shape.prompt + shape.completion) * shape.fullness
    assert tokens == pytest.approx(max(padded), rel=0.2)  # parts have as many examples, not tokens
    has_several = max(map(len, shares)) > 1
    assert shape.accumulates == (has_several if accumulates is None else accumulates)


def test_smaller_micro_batches_are_offered_only_where_groups_are_not_smaller_already() -> None:
    train = Train(batch_tokens=16_384)
    sizes = {
        packs: [
            change["micro_batch_tokens"]
            for change, _ in alternatives(train, True, packs, 1)
            if set(change) == {"micro_batch_tokens"}
        ]
        for packs in (True, False)
    }
    assert sizes == {True: [8192, 4096, 2048], False: [2048, 1024, 512]}


@pytest.mark.parametrize(("packs", "tokens"), [(True, 16_384), (False, 4096)])
def test_validation_takes_no_larger_batches_on_a_gpu_than_training(
    packs: bool, tokens: int
) -> None:
    assert validation_tokens(Train(batch_tokens=16_384), True, packs) == tokens


def test_validation_takes_twice_as_much_on_a_cpu() -> None:
    train = Train(batch_tokens=16_384, micro_batch_tokens=1024)
    assert validation_tokens(train, False, False) == 2048
