"""Metrics of answers that programs read: JSON and its fields, calls of tools.

>>> json_f1(['{"name": "Ann", "total": 12.50}'], [['{"total": 12.5, "name": "Anna"}']])
array([[1., 1., 1.]])
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tasks.data.tools import calls_in
from tasks.scoring.answers import FloatArray, References, counts_of


def json_f1(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of the fields of JSON: a field counts where its place and its value are right.

    0 to 1, higher is better; micro average over the set. The order of keys and of a list's plain
    values, spaces and the way to write a number (12.50, 12.5) do not matter; lists of objects are
    compared by position. A text that is not JSON counts as one field, right only where the same
    text is expected. Of several references, the one that agrees best.

    Returns:
        Shape (examples, 3): true positives, false positives, false negatives.
    """
    return counts_of(completions, references, fields)


def json_valid(completions: Sequence[str], references: References) -> FloatArray:
    """Whether the completion is JSON, all of it, whatever it says.

    0 to 1, higher is better; mean over examples.

    Returns:
        Shape (examples, 2): (0 or 1, 1).
    """
    is_json = [_parsed(text) is not None for text in completions]
    return np.column_stack([is_json, np.ones(len(is_json))]).astype(float)


def tool_call_f1(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of calls of tools: a call counts where its function and all of its arguments are right.

    0 to 1, higher is better; micro average over the set, as `entity_f1`. Order does not matter; a
    call where the reference has none is a wrong one. As in the Berkeley Function-Calling
    Leaderboard (Patil et al., 2025), how a call is written does not count; but each argument has
    one right value.

    Returns:
        Shape (examples, 3): true positives, false positives, false negatives.
    """
    return counts_of(completions, references, _tool_calls)


def tool_name_f1(completions: Sequence[str], references: References) -> FloatArray:
    """F1 of the functions that are called, whatever their arguments.

    0 to 1, higher is better. Aggregation and statistics as `tool_call_f1`, which this is at least.
    """
    return counts_of(completions, references, _tool_names)


def fields(text: str) -> Counter[tuple[str, str]]:
    """Parse JSON into (place, value) -> number of times; of other text, that is its one value."""
    parsed = _parsed(text)
    return Counter([("", text)]) if parsed is None else parsed


def _parsed(text: str) -> Counter[tuple[str, str]] | None:
    try:
        return Counter(_fields("", json.loads(text)))
    except (ValueError, RecursionError):  # the latter where a model writes "[[[[" to its limit
        return None


def _fields(place: str, value: Any) -> Iterator[tuple[str, str]]:
    if not value or not isinstance(value, dict | list):
        is_whole = isinstance(value, float) and value.is_integer()
        yield place, json.dumps(int(value) if is_whole else value)
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        is_plain = isinstance(value, list) and not isinstance(item, dict | list)
        yield from _fields(f"{place}/{'' if is_plain else key}", item)


def _tool_calls(text: str) -> Counter[tuple[str, str]]:
    """(function, arguments) -> number of times."""
    return Counter(call.compared for call in calls_in(text))


def _tool_names(text: str) -> Counter[str]:
    return Counter(call.name for call in calls_in(text))
