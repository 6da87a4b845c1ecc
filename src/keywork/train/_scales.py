"""The numbers behind a chart: round ticks, short labels, and lines of few points that look like the whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate

Point = tuple[float, float]


def unbroken(points: Sequence[Point]) -> Iterator[list[Point]]:
    """The stretches between values that are not finite.

    >>> list(unbroken([(0, 1.0), (1, math.nan), (2, 3.0), (3, 4.0)]))
    [[(0, 1.0)], [(2, 3.0), (3, 4.0)]]
    """
    stretch: list[Point] = []
    for point in points:
        if math.isfinite(point[1]):
            stretch.append(point)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """About ``most`` points that look the same: of each group of neighbours the lowest and the highest.

    >>> thinned([(i, i % 7) for i in range(1000)], 20)[:3]
    [(0, 0), (6, 6), (104, 6)]
    """
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * len(points) / most)
    kept = [points[0]]
    for start in range(0, len(points), size):
        group = points[start : start + size]
        ends = {min(group, key=lambda p: p[1]), max(group, key=lambda p: p[1])}
        kept += [point for point in sorted(ends) if point != kept[-1]]
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def running_mean(points: Sequence[Point], reach: int) -> list[Point]:
    """Each value replaced by the mean of those up to ``reach`` places away.

    >>> running_mean([(0, 0.0), (1, 3.0), (2, 6.0), (3, 0.0)], 1)
    [(0, 1.5), (1, 3.0), (2, 3.0), (3, 3.0)]
    """
    sums = list(accumulate((value for _, value in points), initial=0.0))
    result = []
    for i, (step, _) in enumerate(points):
        first, last = max(i - reach, 0), min(i + reach + 1, len(points))
        result.append((step, (sums[last] - sums[first]) / (last - first)))
    return result


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers, evenly apart, from at most ``low`` to at least ``high``.

    >>> ticks(0, 487, 4), ticks(-0.013, 0.002, 3)
    ([0.0, 200.0, 400.0, 600.0], [-0.015, -0.01, -0.005, 0.0, 0.005])
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    apart = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / apart + 1e-9), math.ceil(high / apart - 1e-9)
    digits = max(0, 1 - math.floor(math.log10(apart)))
    return [round(i * apart, digits) + 0.0 for i in range(first, last + 1)]


def short(value: float) -> str:
    """A number in few characters.

    >>> [short(value) for value in (0, 2048, 150_000, 1_500_000, -0.25, 0.00001234, 487.123)]
    ['0', '2.05k', '150k', '1.5M', '-0.25', '1.23e-05', '487']
    """
    size = abs(value)
    for unit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit * 0.9995 <= size < 1e12:
            return f"{value / unit:.3g}{suffix}"
    return f"{value:.3g}"


def padded(low: float, high: float) -> tuple[float, float]:
    """The same range, or room around a single value."""
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    room = abs(high) * 0.1 or 1.0
    return low - room, high + room
