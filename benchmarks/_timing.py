"""Time several callables side by side, in turns, so that what slows the machine down slows all of them down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from timeit import Timer


@dataclass(frozen=True)
class Result:
    """One contestant's times.

    Attributes:
        seconds: the median time of a call.
        ratio: the median of its time over the baseline's of the same round: above 1 is slower.
        low: the lower quartile of those ratios.
        high: the upper quartile.
    """

    seconds: float
    ratio: float
    low: float
    high: float


def interleave(
    contestants: Mapping[str, Callable[[], object]], *, rounds: int, slice_seconds: float = 0.01
) -> dict[str, Result]:
    """Call each contestant for a slice of time, in turns, many rounds; the first one is the baseline.

    A round begins with another contestant each time, so that none is always the one after the slowest.
    """
    calls = {name: _calls_in(slice_seconds, call) for name, call in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            # timeit switches the garbage collector off while it measures.
            times[name].append(Timer(contestants[name]).timeit(calls[name]) / calls[name])
    return compare(times)


def compare(times: Mapping[str, Sequence[float]]) -> dict[str, Result]:
    """Judge the times of several rounds against those of the first contestant in the same rounds."""
    baseline = next(iter(times.values()))
    results = {}
    for name, own in times.items():
        ratios = [mine / theirs for mine, theirs in zip(own, baseline, strict=True)]
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        results[name] = Result(median(own), median(ratios), low, high)
    return results


def cell(result: Result, unit: str = "µs") -> str:
    """A time, the ratio to the baseline, and the ratio's quartiles."""
    time = result.seconds * {"µs": 1e6, "ms": 1e3}[unit]
    return f"{time:.1f}, {result.ratio:.2f}x ({result.low:.2f}-{result.high:.2f})"


def verdict(result: Result, goal: float) -> str:
    """Whether the ratio is within the goal."""
    return f"met: {result.ratio:.2f}x" if result.ratio <= goal else f"**missed: {result.ratio:.2f}x**"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with a heading."""
    lines = [f"### {title}", "", _row(columns), _row(["---"] * len(columns)), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _calls_in(seconds: float, call: Callable[[], object]) -> int:
    timer = Timer(call)
    timer.timeit(20)
    return max(1, round(seconds / (timer.timeit(20) / 20)))
