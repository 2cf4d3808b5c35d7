"""Charts of the certificate's page, as coordinates; templates/charts.svg draws them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

FLOOR = 1e-9  # a difference of zero is drawn here
DECADES = range(-9, 1)
BINS = 2 * (len(DECADES) - 1)  # half a decade each


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A chart's size, and the edges of its plotting area; y increases downwards."""

    width: int = 460
    height: int = 240
    left: int = 56
    right: int = 446
    top: int = 16
    bottom: int = 200

    def x(self, share: float) -> float:
        """Return the x coordinate of a share of the width."""
        return round(self.left + share * (self.right - self.left), 1)

    def y(self, share: float) -> float:
        """Return the y coordinate of a share of the height, counted from the bottom."""
        return round(self.bottom - share * (self.bottom - self.top), 1)


FRAME = Frame()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A label of an axis, and its position along the axis."""

    at: float
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """The pairs of one artefact whose difference is from `low` to `high`."""

    series: int
    name: str
    count: int
    low: float
    high: float
    x: float
    y: float
    width: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A pair as scored by one artefact."""

    series: int
    name: str
    margin: float
    difference: float
    x: float
    y: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """The number of pairs by difference, half a decade a bar, artefacts side by side; `limit` is the tolerance's x."""

    frame: Frame = FRAME
    widths: tuple[Tick, ...]
    heights: tuple[Tick, ...]
    tolerance: float
    limit: float
    bars: tuple[Bar, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Each pair's difference over Keras' margin: a flip needs a difference above half the margin; `limit` is the tolerance's y."""

    frame: Frame = FRAME
    widths: tuple[Tick, ...]
    heights: tuple[Tick, ...]
    limit: float
    flip_line: tuple[tuple[float, float], ...]
    dots: tuple[Dot, ...]


def make_histogram(series: Mapping[str, Sequence[float]], tolerance: float) -> Histogram:
    """Return the histogram of each artefact's differences, one for each pair."""
    counts = {name: [0] * BINS for name in series}
    for name, values in series.items():
        for value in values:
            counts[name][min(BINS - 1, int(2 * _decades(value)))] += 1
    top = max([1, *(n for found in counts.values() for n in found)])
    step = (FRAME.right - FRAME.left) / BINS
    width = (step - 2) / len(counts)
    return Histogram(
        widths=tuple(Tick(at=FRAME.x(_share(10.0**d)), text=f"1e{d}") for d in DECADES),
        heights=tuple(Tick(at=FRAME.y(n / top), text=str(n)) for n in sorted({0, top // 2, top})),
        tolerance=tolerance,
        limit=FRAME.x(_share(tolerance)),
        bars=tuple(
            Bar(
                series=k, name=name, count=count, low=_edge(i), high=_edge(i + 1),
                x=FRAME.left + i * step + 1 + k * width, y=FRAME.y(count / top), width=width,
            )
            for k, (name, found) in enumerate(counts.items())
            for i, count in enumerate(found)
            if count
        ),
    )  # fmt: skip


def make_scatter(margins: Sequence[float], series: Mapping[str, Sequence[float]], tolerance: float) -> Scatter:
    """Return the scatter plot of each artefact's differences over the margins, with one of each for each pair."""
    return Scatter(
        widths=tuple(Tick(at=FRAME.x(share), text=str(share)) for share in (0, 0.25, 0.5, 0.75, 1)),
        heights=tuple(Tick(at=FRAME.y(_share(10.0**d)), text=f"1e{d}") for d in DECADES[::2]),
        limit=FRAME.y(_share(tolerance)),
        flip_line=tuple((FRAME.x(i / 50), FRAME.y(_share(i / 100))) for i in range(51)),
        dots=tuple(
            Dot(series=k, name=name, margin=margin, difference=value, x=FRAME.x(margin), y=FRAME.y(_share(value)))
            for k, (name, values) in enumerate(series.items())
            for margin, value in zip(margins, values, strict=True)
        ),
    )


def _share(value: float) -> float:
    """Return the position of a difference between the first decade (0) and the last (1)."""
    return _decades(value) / (len(DECADES) - 1)


def _decades(value: float) -> float:
    """Return how many decades a difference is above the first."""
    return min(float(DECADES[-1]), math.log10(max(value, FLOOR))) - DECADES[0]


def _edge(index: int) -> float:
    return math.pow(10, DECADES[0] + index / 2)
