"""Calls at the same time become one batch, and everyone gets its own answers."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.scoring.combining import Combined


class Slow:
    """Answers in upper case; the first call waits until it is told to go on."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.entered, self.go_on = threading.Event(), threading.Event()

    def __call__(self, settings: str, prompts: Sequence[str]) -> list[str]:
        self.calls.append((settings, list(prompts)))
        self.entered.set()
        assert self.go_on.wait(30)
        if "bad" in prompts:
            raise ValueError("bad")
        return [prompt.upper() for prompt in prompts]


def test_who_waits_with_the_same_settings_is_answered_together() -> None:
    slow = Slow()
    together = Combined(slow)
    asked = [("a", ["x", "y"], True), ("a", ["z"], True), ("b", ["u"], True), ("a", ["v"], False)]
    with ThreadPoolExecutor(5) as threads:
        first = threads.submit(together, "a", ["first"], True)
        assert slow.entered.wait(30)
        others = [threads.submit(together, *call) for call in asked]
        while len(together._waiting) < len(asked):
            threading.Event().wait(0.01)
        slow.go_on.set()
        assert first.result() == ["FIRST"]
        assert [other.result() for other in others] == [["X", "Y"], ["Z"], ["U"], ["V"]]
    calls = [(settings, sorted(prompts)) for settings, prompts in slow.calls]
    assert calls[0] == ("a", ["first"])
    assert sorted(calls[1:]) == [("a", ["v"]), ("a", ["x", "y", "z"]), ("b", ["u"])]


def test_an_error_is_told_to_all_and_the_next_call_is_answered() -> None:
    slow = Slow()
    slow.go_on.set()
    together = Combined(slow)
    with pytest.raises(ValueError, match="bad"):
        together("a", ["bad"], True)
    assert together("a", ["good"], True) == ["GOOD"]
