"""What is said of long work where standard error is no terminal."""

import logging

import pytest

from tasks import progress
from tasks.progress import Bar


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second for each look at it."""
    seconds = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)


def test_what_goes_before_and_the_time_left_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="retune")
    with Bar("train", "loading the model") as bar:
        for done in (1, 2, 4):
            bar.update(done, 4, "loss 2")
        bar.update(1, 8, "tuned")  # other work has a rate of its own
    assert caplog.messages == [
        "train: loading the model",
        "train: 1 of 4, loss 2",
        "train: 2 of 4, loss 2  0:00:02 left",
        "train: 4 of 4, loss 2",
        "train: 1 of 8, tuned",
    ]


def test_items_are_shown_as_they_are_taken(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, logger="retune")
    monkeypatch.setattr(progress, "UNITS_AT_ONCE", 2)
    with Bar("template") as bar:
        assert list(bar.over(["aa", "b", "ccc"], 6, "letters", len)) == ["aa", "b", "ccc"]
    shown = [message.partition(",")[0] for message in caplog.messages]
    assert shown == ["template: 0 of 6", "template: 2 of 6"]
