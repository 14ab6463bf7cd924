"""The work of one epoch, estimated from a sample of the training examples.

Work(mixture=[TaskMix("chats", rows=1061, ...)], draws=1061, tokens=270_000.0, ...,
     longest=(487, 61))
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.config import Recipe, Train
from tasks.data.light_tokenizer import PairLength
from tasks.data.mixing import Rehearsal, draws_per_epoch
from tasks.data.sampling import Sample
from tasks.errors import BadData


@dataclass(frozen=True)
class TaskMix:
    """What an epoch takes of one task.

    Attributes:
        task: Its name.
        rows: Training examples.
        share: Of the epoch's examples, in [0, 1].
        draws_per_epoch: Examples an epoch draws.
        epochs_over_rows: How often all epochs together go over its examples; those that are left
            out as too long do not count.
        replay: It is an old task, rehearsed.
    """

    task: str
    rows: int
    share: float
    draws_per_epoch: int
    epochs_over_rows: float
    replay: bool = False


@dataclass(frozen=True)
class Work:
    """The work of one epoch.

    Attributes:
        mixture: Each task's part.
        draws: Examples.
        tokens: Tokens without padding, estimated.
        supervised_tokens: Those of them that carry loss, stop tokens included, estimated.
        too_long_share: Share of the training examples over a length limit.
        truncated_share: Share of the training examples whose prompt is cut.
        longest: Tokens of the longest example that was looked at, only read and learnt.
    """

    mixture: Sequence[TaskMix]
    draws: int
    tokens: float
    supervised_tokens: float
    too_long_share: float
    truncated_share: float
    longest: tuple[int, int]


def work_of_epoch(recipe: Recipe, sample: Sample, lengths: Sequence[PairLength]) -> Work:
    """Estimate the work of one epoch from a sample of the training examples.

    Args:
        recipe: The recipe.
        sample: Some of the examples.
        lengths: Tokens of each of those drawn, then of the long ones.

    Raises:
        BadData: All of the sample is over the length limits and would be left out.
    """
    train, num_rows = recipe.train, sample.num_rows
    drawn = list(zip(lengths, sample.examples, strict=False))
    seen = {
        section.name: _seen(
            [size for size, row in drawn if row["task"] == section.name],
            num_rows.get(section.name, 0),
            train,
        )
        for section in recipe.trained_tasks
    }
    if not any(task.usable for task in seen.values()):
        raise BadData(
            "train",
            "examples to train on",
            f"none: all {len(drawn)} that were looked at are over the length limits",
            "raise train.max_prompt_tokens and train.max_completion_tokens",
        )
    rehearsal = Rehearsal.of(recipe)
    usable = {name: task.usable for name, task in seen.items()}
    draws = draws_per_epoch(usable, recipe.mixture, rehearsal)
    total = sum(draws.values())
    mixture = [
        TaskMix(
            task=task,
            rows=num_rows.get(task, 0),
            share=round(draws[task] / total, 4),
            draws_per_epoch=draws[task],
            epochs_over_rows=round(train.epochs * draws[task] / max(1, usable[task]), 2),
            replay=rehearsal is not None and task in rehearsal.tasks,
        )
        for task in draws
    ]
    num_examples = sum(num_rows.values())
    return Work(
        mixture=mixture,
        draws=total,
        tokens=sum(draws[task] * seen[task].mean_tokens for task in draws),
        supervised_tokens=sum(draws[task] * seen[task].mean_supervised for task in draws),
        too_long_share=round(sum(task.too_long for task in seen.values()) / num_examples, 4),
        truncated_share=round(sum(task.truncated for task in seen.values()) / num_examples, 4),
        longest=longest_of(lengths, train) or (0, 0),
    )


def longest_of(lengths: Sequence[PairLength], train: Train) -> tuple[int, int] | None:
    """Tokens of the longest example trained on, only read and learnt; None without any."""
    return max(_examples(lengths, train), key=sum, default=None)


@dataclass(frozen=True)
class _Seen:
    """What the sample says about one task; counts are of all its examples."""

    usable: int
    too_long: float
    truncated: float
    mean_tokens: float
    mean_supervised: float


def _seen(lengths: Sequence[PairLength], num_rows: int, train: Train) -> _Seen:
    kept = _examples(lengths, train)
    num_too_long = sum(_is_too_long(size, train) for size in lengths)
    num_left_out = sum(_is_left_out(size, train) for size in lengths)
    each = num_rows / max(1, len(lengths))
    return _Seen(
        usable=round(each * len(kept)),
        too_long=each * num_too_long,
        truncated=each * (num_too_long - num_left_out),
        mean_tokens=sum(map(sum, kept)) / max(1, len(kept)),
        mean_supervised=sum(learnt for _, learnt in kept) / max(1, len(kept)),
    )


def _is_too_long(size: PairLength, train: Train) -> bool:
    return size.prompt > train.max_prompt_tokens or size.completion > train.max_completion_tokens


def _is_left_out(size: PairLength, train: Train) -> bool:
    is_for_good = train.too_long == "drop" or size.completion > train.max_completion_tokens
    return is_for_good and _is_too_long(size, train)


def _examples(lengths: Sequence[PairLength], train: Train) -> list[tuple[int, int]]:
    """Tokens that are only read and that are learnt, of each example as it is trained on."""
    examples: list[tuple[int, int]] = []
    for size in lengths:
        if _is_left_out(size, train):
            continue
        is_next = size.follows and examples and size.prompt <= train.max_prompt_tokens
        before = examples.pop()[1] if is_next else 0
        prompt = min(size.prompt, train.max_prompt_tokens)
        examples.append((prompt - before, before + size.completion))
    return examples
