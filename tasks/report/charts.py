"""Plots as SVG, drawn from numbers: no library, no script, no network.

<svg viewBox="0 0 360 220" role="img"><title>Loss</title><desc>training: 10.7 at step 1, ...</desc>
<line class="grid" .../><polyline class="line line-0" points="40,20 ..."/></svg>
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.report.curves import Curve

WIDTH, HEIGHT = 360.0, 220.0
"""Narrow enough for the letters to be readable on a phone, where it is not scaled down."""
LEFT, RIGHT, TOP, BOTTOM = 40.0, 14.0, 10.0, 36.0
NUM_STEPS = 5
MAX_DOTS = 30
BAR_WIDTH = 200.0


def line_chart(curves: Sequence[Curve], title: str, unit: str = "step") -> Markup:
    """Curves over training steps, or over training examples.

    Args:
        curves: Each at least one point; points that are not finite are left out.
        title: Of the picture.
        unit: What is counted from left to right.

    Returns:
        An `svg` element; empty where there is nothing to draw.
    """
    lines = [[at for at in curve.points if all(map(math.isfinite, at))] for curve in curves]
    points = [point for line in lines for point in line]
    if not points:
        return Markup("")
    frame = _Frame(
        steps=ticks(0.0, max(1.0, *(step for step, _ in points))),
        values=ticks(min(0.0, *(value for _, value in points)), max(v for _, v in points)),
    )
    named = [(curve.name, line) for curve, line in zip(curves, lines, strict=True) if line]
    description = "; ".join(f"{name}: {_description(line, unit)}" for name, line in named)
    head = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img"><title>{}</title><desc>{}</desc>')
    drawn = [_line(number, frame, line) for number, line in enumerate(lines)]
    return (
        head.format(WIDTH, HEIGHT, title, description)
        + _grid(frame, unit)
        + Markup("").join(drawn)
        + Markup("</svg>")
    )


def interval_bar(
    value: float, low: float, high: float, left: float, right: float, limit: float | None = None
) -> Markup:
    """A figure with its interval: a bar from low to high, a mark at the value, a line at zero.

    Args:
        value: The figure.
        low: Lower end of its interval.
        high: Upper end.
        left: Value at the left edge of the picture.
        right: Value at the right edge.
        limit: Where to draw a dashed line, such as a budget.
    """
    if not all(map(math.isfinite, (value, low, high))):
        return Markup("")
    scale = BAR_WIDTH / ((right - left) or 1.0)

    def place(at: float) -> float:
        return round((at - left) * scale, 1)

    rule = Markup('<line class="{}" x1="{}" x2="{}" y1="0" y2="16"/>')
    rules = rule.format("zero", place(0.0), place(0.0))
    if limit is not None:
        rules += rule.format("limit", place(limit), place(limit))
    head = Markup(
        '<svg class="bar" viewBox="-5 0 210 16" role="img">'
        "<title>{:.3f}, interval {:.3f} to {:.3f}</title>"
    )
    bar = Markup(
        '<rect class="range" x="{}" y="5" width="{}" height="6" rx="3"/>'
        '<circle class="mark" cx="{}" cy="8" r="4.5"/></svg>'
    )
    width = round(max(1.0, place(high) - place(low)), 1)
    drawn = bar.format(place(low), width, place(value))
    return head.format(value, low, high) + rules + drawn


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers, a step of 1, 2 or 5 apart, that hold a range between them."""
    rough = (high - low) / NUM_STEPS or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * size for size in (1, 2, 5, 10) if power * size >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True)
class _Frame:
    """The ranges that a chart shows, as the numbers on its axes."""

    steps: Sequence[float]
    values: Sequence[float]

    def place(self, step: float, value: float) -> tuple[float, float]:
        """Where a value is drawn."""
        across = (step - self.steps[0]) / (self.steps[-1] - self.steps[0])
        up = (value - self.values[0]) / (self.values[-1] - self.values[0])
        x = LEFT + (WIDTH - LEFT - RIGHT) * across
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up
        return round(x, 1), round(y, 1)


def _description(line: Sequence[tuple[float, float]], unit: str) -> str:
    (first, start), (last, end) = line[0], line[-1]
    return f"{start:.3g} at {unit} {first:g}, {end:.3g} at {unit} {last:g}"


def _line(number: int, frame: _Frame, line: Sequence[tuple[float, float]]) -> Markup:
    placed = [frame.place(*point) for point in line]
    points = " ".join(f"{x},{y}" for x, y in placed)
    drawn = Markup('<polyline class="line line-{}" points="{}"/>').format(number, points)
    if len(placed) > MAX_DOTS:
        return drawn
    dot = Markup('<circle class="dot-{}" cx="{}" cy="{}" r="3"/>')
    return drawn + Markup("").join(dot.format(number, x, y) for x, y in placed)


def _grid(frame: _Frame, unit: str) -> Markup:
    rule = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    label = Markup('<text x="{}" y="{}" text-anchor="{}">{:g}</text>')
    parts = []
    for value in frame.values:
        _, y = frame.place(frame.steps[0], value)
        parts.append(rule.format(LEFT, WIDTH - RIGHT, y, y))
        parts.append(label.format(LEFT - 6, y + 4, "end", value))
    for step in frame.steps:
        x, y = frame.place(step, frame.values[0])
        parts.append(label.format(x, y + 15, "middle", step))
    name = Markup('<text x="{}" y="{}" text-anchor="end">training {}</text>')
    return Markup("").join(parts) + name.format(WIDTH - RIGHT, HEIGHT - 4, unit)
