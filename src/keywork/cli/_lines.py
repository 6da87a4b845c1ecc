"""Progress as plain lines, for a log: few of them, however long a run takes."""

from __future__ import annotations

import time

from rich.console import Console
from rich.text import Text

from keywork.cli._progress import Progress
from keywork.train import Metrics

_AT_LEAST, _AT_MOST = 5.0, 60.0  # seconds between two lines


class Lines:
    """A line after the first update and the last, and in between one for each tenth of the run.

    In a quick run they are 5 seconds apart or more, in a slow one there is one a minute.

    Args:
        console: where they go.
        total: steps of the whole run.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._progress = Progress(total)
        self._last: float | None = None
        self._tenth = 0

    def update(self, metrics: Metrics) -> None:
        """Take the numbers of one update."""
        self._progress.add(metrics)
        now, tenth = time.monotonic(), int(10 * self._progress.share)
        if self._last is not None and tenth < 10:
            waited = now - self._last
            if waited < _AT_LEAST or (tenth == self._tenth and waited < _AT_MOST):
                return
        self._last, self._tenth = now, tenth
        self._console.print(Text(line(self._progress)), soft_wrap=True)

    def end(self) -> None:
        """Nothing is left to be written."""


def line(progress: Progress) -> str:
    """One line of a log.

    >>> progress = Progress(total=1000)
    >>> progress.add({"step": 250, "time": 2.0, "episode/count": 4.0, "episode/return_mean": 21.5})
    >>> line(progress)
    ' 25 %   return 21.5   250 of 1,000 steps   125 steps/s   6 s left'
    """
    recent = progress.recent_return
    shown = "" if recent is None else f"   return {recent:.4g}"
    return f"{progress.percent}{shown}   {progress.in_words()}"
