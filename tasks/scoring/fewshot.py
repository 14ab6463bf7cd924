r"""In-context learning: worked examples in front of a prompt.

Summarize: Ana: Lunch? Bo: Sure.      "prompt\ncompletion\n\n" of each example,
Ana and Bo have lunch.                then the prompt itself

Summarize: Cy: Late again, sorry.

Those of conversations are turns before its own (`tasks.data.turns`).
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.data.turns import RULES, Turn, as_text, turns_of

BETWEEN = "\n\n"

Example = Mapping[str, Any]


@dataclass(frozen=True)
class ShotPrompt:
    """A prompt with worked examples.

    Attributes:
        text: What the model reads.
        shots: The examples in it.
    """

    text: str
    shots: tuple[Example, ...] = ()


def with_shots(
    example: Example,
    pool: Sequence[Example],
    num_shots: int,
    seed: int,
    fits: Callable[[str], bool],
) -> ShotPrompt:
    """Put worked examples in front of an example's prompt.

    The draw depends on seed and example alone, so each example gets shots of its own and the
    result does not hang on one lucky choice. Shots are whole: those that do not fit are left out,
    the last drawn first.

    Args:
        example: What is to be answered: `id`, `prompt`.
        pool: Training examples of its task: `id`, `prompt`, `completion`.
        num_shots: Examples to show.
        seed: Of the draw.
        fits: Whether a text is within the prompt's length limit.
    """
    draw = random.Random(f"{seed} {example['id']}")
    drawn = draw.sample(range(len(pool)), min(num_shots + 1, len(pool)))
    others = [pool[index] for index in drawn if pool[index]["id"] != example["id"]]
    shots = tuple(others[:num_shots])
    while shots:
        text = _joined(example["prompt"], shots)
        if fits(text):
            return ShotPrompt(text, shots)
        shots = shots[:-1]
    return ShotPrompt(example["prompt"])


def _joined(prompt: str, shots: Sequence[Example]) -> str:
    worked = [(shot["prompt"], shot["completion"]) for shot in shots]
    if all(len(turns_of(text)) == 1 for text in (prompt, *(asked for asked, _ in worked))):
        return "".join(f"{asked}\n{answer}{BETWEEN}" for asked, answer in worked) + prompt
    own = turns_of(prompt)
    shown = [
        turn for asked, answer in worked for turn in (*turns_of(asked), Turn("assistant", answer))
    ]
    rules = [turn for turn in own if turn.role in RULES]  # those of the shots are left out
    return as_text([*rules, *(turn for turn in (*shown, *own) if turn.role not in RULES)])


def first_answer(completion: str, shots: Sequence[Example]) -> str:
    """Cut off what a model that goes on with the pattern says after its answer.

    Answers end at a blank line in the prompt; where a shown one has a blank line itself, that
    cannot be told apart and nothing is cut.
    """
    if not shots or any(BETWEEN in shot["completion"] for shot in shots):
        return completion
    return completion.split(BETWEEN)[0].strip()
