"""Charts as SVG, drawn from numbers alone: no library, no script, no network.

<svg viewBox="0 0 640 260" role="img">...<polyline class="line line-0" points="40,20 ..."/></svg>
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.report.facts import Curve

WIDTH, HEIGHT = 640.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 12.0, 12.0, 28.0
NUM_TICKS = 5
MAX_DOTS = 30


def line_chart(curves: Sequence[Curve], title: str) -> Markup:
    """Curves over steps.

    Args:
        curves: Each at least one point; points that are not finite are left out.
        title: Read out in place of the picture.

    Returns:
        An `svg` element; empty where there is nothing to draw.
    """
    lines = [[point for point in curve.points if _is_finite(point)] for curve in curves]
    points = [point for line in lines for point in line]
    if not points:
        return Markup("")
    frame = Frame(
        right=max(1.0, *(step for step, _ in points)),
        low=min(0.0, *(value for _, value in points)),
        high=max(1e-9, *(value for _, value in points)),
    )
    drawn = [
        _line(number, [frame.place(point) for point in line]) for number, line in enumerate(lines)
    ]
    box = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">')
    return (
        box.format(WIDTH, HEIGHT, title) + _grid(frame) + Markup("").join(drawn) + Markup("</svg>")
    )


def interval_bar(value: float, low: float, high: float, left: float, right: float) -> Markup:
    """A figure with its interval: a bar from low to high, a mark at the value, a line at zero.

    Args:
        value: The figure.
        low: Lower end of its interval.
        high: Upper end.
        left: Value at the left edge of the picture.
        right: Value at the right edge.
    """
    if not all(map(math.isfinite, (value, low, high))):
        return Markup("")
    scale = 200.0 / ((right - left) or 1.0)
    x, start, end, zero = (round((at - left) * scale, 1) for at in (value, low, high, 0.0))
    bar = Markup(
        '<svg class="bar" viewBox="-4 0 208 16" role="img" aria-label="{:.3f} ({:.3f} to {:.3f})">'
        '<line class="zero" x1="{}" x2="{}" y1="0" y2="16"/>'
        '<rect class="range" x="{}" y="5" width="{}" height="6" rx="3"/>'
        '<circle class="mark" cx="{}" cy="8" r="4"/></svg>'
    )
    width = round(max(1.0, end - start), 1)
    return bar.format(value, low, high, zero, zero, start, width, x)


@dataclass(frozen=True)
class Frame:
    """The ranges that a chart shows: steps from 0 to `right`, values from `low` to `high`."""

    right: float
    low: float
    high: float

    def place(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a (step, value) is drawn."""
        across = LEFT + (WIDTH - LEFT - RIGHT) * point[0] / self.right
        share = (point[1] - self.low) / (self.high - self.low)
        return round(across, 1), round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)


def _is_finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _line(number: int, placed: Sequence[tuple[float, float]]) -> Markup:
    points = " ".join(f"{x},{y}" for x, y in placed)
    line = Markup('<polyline class="line line-{}" points="{}"/>').format(number, points)
    if len(placed) > MAX_DOTS:
        return line
    dot = Markup('<circle class="dot dot-{}" cx="{}" cy="{}" r="3"/>')
    return line + Markup("").join(dot.format(number, x, y) for x, y in placed)


def _grid(frame: Frame) -> Markup:
    parts = []
    for number in range(NUM_TICKS + 1):
        share = number / NUM_TICKS
        value = frame.low + share * (frame.high - frame.low)
        _, y = frame.place((0.0, value))
        step = round(share * frame.right)
        x, _ = frame.place((step, frame.low))
        rule = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>')
        parts.append(rule.format(LEFT, WIDTH - RIGHT, y, y))
        label = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')
        parts.append(label.format(LEFT - 6, y + 4, "end", f"{value:.2f}"))
        parts.append(label.format(x, HEIGHT - 8, "middle", step))
    return Markup("").join(parts)
