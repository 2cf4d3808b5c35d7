"""Charts of the certificate's page, as SVG that needs nothing but the page's own style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 16, 40
FLOOR = 1e-9  # a difference of zero is drawn here
DECADES = range(-9, 1)


def draw_histogram(series: Mapping[str, Sequence[float]], tolerance: float) -> str:
    """Return how many pairs have which difference, half a decade a bar, the artefacts beside one another."""
    bins = 2 * (len(DECADES) - 1)
    counts = {name: [0] * bins for name in series}
    for name, values in series.items():
        for value in values:
            counts[name][min(bins - 1, int(2 * (_log(value) - DECADES[0])))] += 1
    top = max([1, *(n for found in counts.values() for n in found)])
    parts = [_grid_x(), _limit_x(tolerance)]
    for tick in sorted({0, top // 2, top}):
        y = _y(tick / top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{tick}</text>')
    step = (WIDTH - LEFT - RIGHT) / bins
    bar = (step - 2) / len(counts)
    for k, (name, found) in enumerate(counts.items()):
        for i, count in enumerate(found):
            if count:
                x, y = LEFT + i * step + 1 + k * bar, _y(count / top)
                title = f"{name}: {count} pairs from {_edge(i)} to {_edge(i + 1)}"
                parts.append(
                    f'<rect class="s{k}" x="{x:.1f}" y="{y}" width="{bar:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"><title>{title}</title></rect>'
                )
    return _svg("Distribution of differences", parts, "largest difference of a probability", "pairs")


def draw_scatter(margins: Sequence[float], series: Mapping[str, Sequence[float]], tolerance: float) -> str:
    """Return each pair's difference over Keras' margin: a flip needs a difference above half the margin."""
    parts = []
    for decade in DECADES[::2]:
        y = _y((decade - DECADES[0]) / (DECADES[-1] - DECADES[0]))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">1e{decade}</text>')
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<text class="tick" x="{_x(tick)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick}</text>')
    y = _y((_log(tolerance) - DECADES[0]) / (DECADES[-1] - DECADES[0]))
    parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
    steps = [i / 50 for i in range(51)]
    flip = " ".join(f"{_x(m)},{_y((_log(m / 2) - DECADES[0]) / (DECADES[-1] - DECADES[0]))}" for m in steps)
    parts.append(f'<polyline class="flip" points="{flip}"><title>above this line a label can flip</title></polyline>')
    for k, (name, values) in enumerate(series.items()):
        for margin, value in zip(margins, values, strict=True):
            height = (_log(value) - DECADES[0]) / (DECADES[-1] - DECADES[0])
            parts.append(
                f'<circle class="s{k}" cx="{_x(margin)}" cy="{_y(height)}" r="2.5"><title>{name}: margin {margin:.3g}, difference {value:.2e}</title></circle>'
            )
    return _svg("Margin against difference", parts, "Keras' margin (first minus second probability)", "difference")


def _svg(name: str, parts: Sequence[str], below: str, beside: str) -> str:
    axis = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>'
    labels = (
        f'<text class="name" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{below}</text>'
        f'<text class="name" x="12" y="{HEIGHT / 2 - 12}" transform="rotate(-90 12 {HEIGHT / 2 - 12})" text-anchor="middle">{beside}</text>'
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">{"".join(parts)}{axis}{labels}</svg>'


def _grid_x() -> str:
    return "".join(
        f'<text class="tick" x="{_x((d - DECADES[0]) / (DECADES[-1] - DECADES[0]))}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">1e{d}</text>'
        for d in DECADES
    )


def _limit_x(tolerance: float) -> str:
    x = _x((_log(tolerance) - DECADES[0]) / (DECADES[-1] - DECADES[0]))
    return (
        f'<line class="limit" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="tick" x="{x + 4}" y="{TOP + 8}">tolerance {tolerance:.0e}</text>'
    )


def _log(value: float) -> float:
    return min(float(DECADES[-1]), math.log10(max(value, FLOOR)))


def _edge(index: int) -> str:
    return f"{10 ** (DECADES[0] + index / 2):.0e}"


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)
