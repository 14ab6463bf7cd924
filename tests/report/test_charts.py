"""Plots show the figures where they belong, and say them to those who do not see."""

import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tasks.report.charts import interval_bar, line_chart, ticks
from tasks.report.curves import Curve, accuracy_curves, loss_curves, thinned
from tests.reporting import write_folders


def test_line_chart_places_points() -> None:
    svg = str(line_chart([Curve("a", [(0, 0), (10, 2), (5, math.nan)])], "<script>"))
    assert 'points="40.0,184.0 346.0,10.0"' in svg
    assert "<title>&lt;script&gt;</title><desc>a: 0 at step 0, 2 at step 10</desc>" in svg
    assert line_chart([Curve("a", [(1, math.nan)])], "t") == ""
    assert line_chart([], "t") == ""
    ET.fromstring(str(line_chart([Curve("a", [(1, 2.0)])], "t")))


def test_interval_bar_places_its_parts() -> None:
    svg = str(interval_bar(0.5, 0.25, 0.75, 0.0, 1.0, limit=0.1))
    assert '<rect class="range" x="50.0" y="5" width="100.0"' in svg
    assert '<circle class="mark" cx="100.0"' in svg
    assert '<line class="zero" x1="0.0"' in svg and '<line class="limit" x1="20.0"' in svg
    assert "<title>0.500, interval 0.250 to 0.750</title>" in svg
    assert '<line class="zero" x1="100.0"' in str(interval_bar(0.5, 0.25, 0.75, -1.0, 1.0))
    assert interval_bar(math.nan, 0.0, 1.0, 0.0, 1.0) == ""


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 10.7, [0.0, 5.0, 10.0, 15.0]),
        (0.0, 137.0, [0.0, 50.0, 100.0, 150.0]),
        (-0.03, 0.02, [-0.03, -0.02, -0.01, 0.0, 0.01, 0.02]),
        (2.0, 2.0, [2.0, 3.0]),
    ],
)
def test_ticks_are_round_and_hold_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_curves(tmp_path: Path) -> None:
    trained = write_folders(tmp_path, "")["train"]
    training, validation = loss_curves(trained)
    assert validation.points == [(500.0, 2.4), (1000.0, 2.2)]
    assert len(training.points) <= 400
    assert training.points[0] == (3, pytest.approx(2.998))  # mean of three steps
    assert training.points[-1][0] == 1000
    assert thinned([]) == []
    (accuracy,) = accuracy_curves(trained)
    assert accuracy.points == [(500.0, 0.5), (1000.0, 0.6)]
    (trained / "epochs.csv").write_text("epoch,step,train_loss\n1,500,2.5\n", encoding="utf-8")
    assert accuracy_curves(trained) == []
