"""How far a run has come; what the displays show."""

from __future__ import annotations

from collections import deque

from keywork.train import Metrics

RECENT = 100  # episodes


class Progress:
    """Keeps what a display needs of the metrics; cheap, because it is told of every update.

    Args:
        total: steps of the whole run.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.latest: Metrics = {}
        self._recent: deque[tuple[float, float]] = deque()  # the episodes of an update: how many, and their mean return
        self._count = 0.0

    def add(self, metrics: Metrics) -> None:
        """Take the numbers of one update."""
        self.latest = metrics
        count = metrics.get("episode/count")
        if count:
            self._recent.append((count, metrics["episode/return_mean"]))
            self._count += count
            while self._count - self._recent[0][0] >= RECENT:
                self._count -= self._recent.popleft()[0]

    @property
    def step(self) -> int:
        """Steps so far."""
        return int(self.latest.get("step", 0))

    @property
    def share(self) -> float:
        """Of the whole run, from 0 to 1."""
        return min(1.0, self.step / self.total)

    @property
    def percent(self) -> str:
        """The same, always as wide."""
        return f"{100 * self.share:3.0f} %"

    @property
    def rate(self) -> float:
        """Steps per second, since the beginning."""
        seconds = self.latest.get("time", 0.0)
        return self.step / seconds if seconds > 0 else 0.0

    @property
    def recent_return(self) -> float | None:
        """The mean return of the last episodes, about a hundred; None before the first one ends."""
        return sum(count * mean for count, mean in self._recent) / self._count if self._count else None

    def in_words(self) -> str:
        """Steps, speed, and the time that is left.

        >>> progress = Progress(total=1000)
        >>> progress.add({"step": 250, "time": 2.0})
        >>> progress.in_words()
        '250 of 1,000 steps   125 steps/s   6 s left'
        """
        words = [f"{self.step:,} of {max(self.step, self.total):,} steps"]
        if self.rate > 0.0:
            words.append(f"{self.rate:,.0f} steps/s")
            if self.share < 1.0:
                words.append(f"{duration(max(1.0, (self.total - self.step) / self.rate))} left")
        return "   ".join(words)


def duration(seconds: float) -> str:
    """Seconds as people read them.

    >>> duration(8.4), duration(75), duration(3 * 3600 + 120)
    ('8 s', '1 min 15 s', '3 h 02 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_ = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
