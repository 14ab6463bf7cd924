"""The learning/forgetting frontier: what each candidate gains on its task, against what it forgets.

    FrontierPoint("lora", gain=0.09, gain_low=0.08, gain_high=0.11,
                  forgetting=0.03, forgetting_low=0.00, forgetting_high=0.06, chosen=True)

More gain is better, less forgetting is better: the frontier is the Pareto front of the candidates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.report.charts import ticks

WIDTH, HEIGHT = 640.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 20.0, 16.0, 44.0
APART = 16.0
"""Marks nearer than this, in both directions, share a label: two would cover each other."""


@dataclass(frozen=True)
class FrontierPoint:
    """One candidate.

    Attributes:
        name: What it is called in the table.
        gain: Task metric minus the base model's, in [-1, 1]; higher is better.
        gain_low: Lower end of its 95% interval.
        gain_high: Upper end.
        forgetting: Drop of the worst probe, in [-1, 1]; positive is forgotten.
        forgetting_low: Lower end of its 95% interval.
        forgetting_high: Upper end.
        chosen: Whether it is the one that was kept.
    """

    name: str
    gain: float
    gain_low: float
    gain_high: float
    forgetting: float
    forgetting_low: float
    forgetting_high: float
    chosen: bool = False


def unbeaten(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """The candidates on the Pareto front, in order of their gain.

    One beats another with more gain and no more forgetting, or less forgetting and no less gain.
    """
    return sorted(
        (point for point in points if not any(_beats(other, point) for other in points)),
        key=lambda point: point.gain,
    )


def frontier_rows(points: Sequence[FrontierPoint]) -> list[dict[str, str | bool]]:
    """The table beside the plot: one row a candidate, in the plot's numbering."""
    best = unbeaten(points)
    return [
        {
            "number": str(number),
            "name": point.name,
            "gain": with_interval(point.gain, point.gain_low, point.gain_high),
            "forgetting": with_interval(
                point.forgetting, point.forgetting_low, point.forgetting_high
            ),
            "on_frontier": point in best,
            "chosen": point.chosen,
        }
        for number, point in enumerate(points, 1)
    ]


def frontier_svg(points: Sequence[FrontierPoint], max_drop: float | None) -> Markup:
    """Gain across, forgetting upwards, intervals as crosses; candidates bear their table's number.

    Args:
        points: The candidates; one that has a figure that is not finite is left out.
        max_drop: The forgetting budget, drawn as a line; None where there is none.

    Returns:
        An `svg` element in the colour of the text around it; empty where there is nothing to draw.
    """
    numbered = [(number, point) for number, point in enumerate(points, 1) if _is_finite(point)]
    if not numbered:
        return Markup("")
    shown = [point for _, point in numbered]
    frame = _frame(shown, max_drop)
    budget = Markup("") if max_drop is None else _budget(frame, max_drop)
    box = Markup(
        '<svg class="frontier" viewBox="0 0 {:.0f} {:.0f}" role="img" fill="currentColor" '
        'stroke="currentColor" font-size="12"><title>Gain on the task against the drop of the '
        "worst probe, for {} candidates</title>"
    ).format(WIDTH, HEIGHT, len(numbered))
    marks = Markup("").join(_mark(frame, point) for point in shown)
    line, labels = _line(frame, unbeaten(shown)), _labels(frame, numbered)
    return box + _axes(frame) + budget + line + marks + labels + Markup("</svg>")


@dataclass(frozen=True)
class _Frame:
    """The ranges that the plot shows, as the numbers on its axes."""

    gains: Sequence[float]
    drops: Sequence[float]

    def x(self, gain: float) -> float:
        share = (gain - self.gains[0]) / (self.gains[-1] - self.gains[0])
        return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)

    def y(self, forgetting: float) -> float:
        share = (forgetting - self.drops[0]) / (self.drops[-1] - self.drops[0])
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)


def _beats(one: FrontierPoint, other: FrontierPoint) -> bool:
    no_worse = one.gain >= other.gain and one.forgetting <= other.forgetting
    return no_worse and (one.gain > other.gain or one.forgetting < other.forgetting)


def with_interval(value: float, low: float, high: float) -> str:
    """A difference and its 95% interval, with signs."""
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _is_finite(point: FrontierPoint) -> bool:
    gain = (point.gain, point.gain_low, point.gain_high)
    forgetting = (point.forgetting, point.forgetting_low, point.forgetting_high)
    return all(map(math.isfinite, (*gain, *forgetting)))


def _frame(points: Sequence[FrontierPoint], max_drop: float | None) -> _Frame:
    """Room for every interval, for no gain and no forgetting, and for the budget."""
    across = [0.0, *(end for point in points for end in (point.gain_low, point.gain_high))]
    drops = [end for point in points for end in (point.forgetting_low, point.forgetting_high)]
    upwards = [0.0, max_drop or 0.0, *drops]
    return _Frame(ticks(min(across), max(across)), ticks(min(upwards), max(upwards)))


def _axes(frame: _Frame) -> Markup:
    parts = []
    for drop in frame.drops:
        parts.append(_rule(LEFT, WIDTH - RIGHT, frame.y(drop), frame.y(drop), opacity=0.15))
        parts.append(_text(LEFT - 6, frame.y(drop) + 4, "end", f"{drop:g}"))
    for gain in frame.gains:
        signed = f"{gain:+g}" if gain else "0"
        parts.append(_text(frame.x(gain), HEIGHT - BOTTOM + 16, "middle", signed))
    parts.append(_rule(LEFT, WIDTH - RIGHT, frame.y(0), frame.y(0), opacity=0.5))
    parts.append(_rule(frame.x(0), frame.x(0), TOP, HEIGHT - BOTTOM, opacity=0.5))
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 8, "end", "gain on the task →"))
    parts.append(_text(LEFT, TOP - 4, "start", "↑ drop of the worst probe"))
    return Markup("").join(parts)


def _budget(frame: _Frame, max_drop: float) -> Markup:
    y = frame.y(max_drop)
    line = Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" stroke-dasharray="6 4"/>')
    label = _text(WIDTH - RIGHT, y - 4, "end", f"budget {max_drop:.2f}")
    return line.format(LEFT, WIDTH - RIGHT, y, y) + label


def _line(frame: _Frame, best: Sequence[FrontierPoint]) -> Markup:
    places = " ".join(f"{frame.x(point.gain)},{frame.y(point.forgetting)}" for point in best)
    return Markup('<polyline points="{}" fill="none" opacity="0.4"/>').format(places)


def _mark(frame: _Frame, point: FrontierPoint) -> Markup:
    x, y = frame.x(point.gain), frame.y(point.forgetting)
    across = _rule(frame.x(point.gain_low), frame.x(point.gain_high), y, y, opacity=0.45)
    up = _rule(x, x, frame.y(point.forgetting_low), frame.y(point.forgetting_high), opacity=0.45)
    circle = Markup('<circle cx="{}" cy="{}" r="{}"><title>{}</title></circle>')
    return across + up + circle.format(x, y, 6 if point.chosen else 4, point.name)


def _labels(frame: _Frame, numbered: Sequence[tuple[int, FrontierPoint]]) -> Markup:
    """The numbers of the marks, each beside its own, or together where marks (nearly) coincide."""
    places: dict[tuple[float, float], list[str]] = {}
    for number, point in numbered:
        x, y = frame.x(point.gain), frame.y(point.forgetting)
        near = (at for at in places if max(abs(at[0] - x), abs(at[1] - y)) < APART)
        label = f"{number}{' (kept)' if point.chosen else ''}"
        places.setdefault(next(near, (x, y)), []).append(label)
    return Markup("").join(
        _text(x + 8, y - 7, "start", ", ".join(labels))
        if x < WIDTH / 2
        else _text(x - 8, y - 7, "end", ", ".join(labels))
        for (x, y), labels in places.items()
    )


def _rule(x1: float, x2: float, y1: float, y2: float, opacity: float) -> Markup:
    line = Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" opacity="{}"/>')
    return line.format(x1, x2, y1, y2, opacity)


def _text(x: float, y: float, anchor: str, words: str) -> Markup:
    text = Markup('<text x="{}" y="{}" text-anchor="{}" stroke="none">{}</text>')
    return text.format(x, y, anchor, words)
