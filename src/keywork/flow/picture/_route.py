"""How lines run between two layers: straight down, or down, along a track of their own, and down again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CORNER = 8.0  # radius of the lines' corners
_NEAR = 7.0  # two lines side by side must not come nearer

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Fork:
    """One net in one channel: it comes in from above at ``source`` and leaves below at each of ``targets``."""

    net: int
    source: float
    targets: tuple[float, ...]

    @property
    def span(self) -> tuple[float, float]:
        """From the leftmost to the rightmost end."""
        return min(self.source, *self.targets), max(self.source, *self.targets)

    @property
    def straight(self) -> bool:
        """Whether it needs no track."""
        low, high = self.span
        return high - low < 0.5


def tracks_of(forks: Sequence[Fork]) -> list[int]:
    """For each fork the number of its track, counted from above; forks on one track do not touch.

    >>> tracks_of([Fork(0, 0, (100,)), Fork(1, 50, (150,)), Fork(2, 200, (200,))])
    [1, 0, 0]
    """
    bent: list[int] = []
    for i, fork in enumerate(forks):
        if fork.straight:
            continue
        # Where among those that have their place does it cross the least?
        costs = []
        for place in range(len(bent) + 1):
            over = sum(_cost(forks[above], fork) for above in bent[:place])
            costs.append(over + sum(_cost(fork, forks[below]) for below in bent[place:]))
        bent.insert(costs.index(min(costs)), i)
    tracks = [0] * len(forks)
    for position, i in enumerate(bent):
        above = [tracks[j] for j in bent[:position] if _touch(forks[i], forks[j])]
        tracks[i] = max(above, default=-1) + 1
    return tracks


def spread(wanted: Sequence[float], low: float, high: float, gap: float) -> list[float]:
    """Points in order, as near as possible to the ``wanted`` ones, between ``low`` and ``high`` and ``gap`` apart.

    >>> spread([0, 1, 100], low=10, high=60, gap=10)
    [10.0, 20.0, 60.0]
    """
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    points: list[float] = []
    for x in wanted:
        least = points[-1] + gap if points else low
        points.append(float(max(x, least)))
    for i in reversed(range(len(points))):
        most = points[i + 1] - gap if i + 1 < len(points) else high
        points[i] = float(min(points[i], most))
    return points


def branches(fork: Fork, begin: float, track: float, end: float) -> Iterator[tuple[float, list[Point]]]:
    """The pieces of a fork, each with its target; only the first one begins at the source."""
    x = fork.source
    stem: list[Point] = [(x, begin)]
    for target in sorted(fork.targets, key=lambda t: abs(t - x)):
        if abs(target - x) < 0.5:
            yield target, [*stem, (x, end)]
            stem = [(x, track - CORNER)]
    for side in (-1, 1):
        farthest_first = sorted((t for t in fork.targets if side * (t - x) >= 0.5), key=lambda t: -abs(t - x))
        for i, target in enumerate(farthest_first):
            if i == 0:
                yield target, [*stem, (x, track), (target, track), (target, end)]
                stem = [(x, track - CORNER)]
            else:
                yield target, [(target - side * CORNER, track), (target, track), (target, end)]


def _touch(one: Fork, other: Fork) -> bool:
    (a, b), (c, d) = one.span, other.span
    return a - _NEAR < d and c - _NEAR < b


def _cost(upper: Fork, lower: Fork) -> float:
    """Crossings of two forks if one's track is above the other's; lines on top of each other count as many."""
    if not _touch(upper, lower):
        return 0
    (a, b), (c, d) = upper.span, lower.span
    cost = float(sum(c < x < d for x in upper.targets) + (a < lower.source < b))
    # Above its track a line is at its source, below it at its targets: these would run along each other.
    return cost + 50 * sum(abs(x - lower.source) < _NEAR for x in upper.targets)
