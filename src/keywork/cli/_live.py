"""Progress in a terminal: one picture of the run that is drawn over itself, twice a second."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from keywork.cli._progress import Progress
from keywork.train import Metrics

_PERIOD = 0.5  # seconds from one drawing to the next: each takes the time of a few percent of them
_WIDTH = 48
_LEVELS = "▁▂▃▄▅▆▇█"
_ABOVE = ("step", "time", "episode", "speed")  # metrics that are shown in words of their own, or not at all


class LiveDisplay:
    """Bar, curve of the return, and the latest numbers of the algorithm, whatever it logs.

    Args:
        console: a terminal.
        total: steps of the whole run.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._progress = console, Progress(total)
        self._curve: list[float] = []  # the recent mean return, one number for each column of the bar
        self._drawn = time.monotonic()
        self._utf8 = console.encoding.startswith("utf")
        # Without rich's own thread, which would take the interpreter from the training at any time.
        self._live = Live(self._picture(), console=console, auto_refresh=False)
        self._live.start(refresh=True)

    def update(self, metrics: Metrics) -> None:
        """Take the numbers of one update; draws them if it is time."""
        self._progress.add(metrics)
        columns = min(_WIDTH, 1 + self._progress.step * _WIDTH // self._progress.total)
        recent = self._progress.recent_return if columns > len(self._curve) else None
        if recent is not None:
            self._curve += [recent] * (columns - len(self._curve))
        now = time.monotonic()
        if now - self._drawn >= _PERIOD:
            self._drawn = now
            self._live.update(self._picture(), refresh=True)

    def end(self) -> None:
        """Draw once more, and leave the picture where it is; a second call does nothing."""
        if self._live.is_started:
            self._live.update(self._picture())
            self._live.stop()

    def _picture(self) -> Group:
        progress = self._progress
        width = max(8, min(_WIDTH, self._console.width - 20))
        rows = Table.grid(padding=(0, 2))
        bar = ProgressBar(
            progress.total,
            min(progress.step, progress.total),
            width,
            style="bright_black",
            complete_style="cyan",
            finished_style="green",
        )
        rows.add_row(bar, Text(progress.percent, "bold"))
        recent = progress.recent_return
        if recent is not None:
            places = (column * _WIDTH // width for column in range(width))
            curve = sparkline([self._curve[place] for place in places if place < len(self._curve)])
            number = Text.assemble(("return ", "dim"), (f"{recent:.4g}", "bold"))
            rows.add_row(Text(curve if self._utf8 else "", "green"), number)
        return Group(rows, Text(progress.in_words()), numbers(progress.latest))


def numbers(metrics: Metrics) -> Table:
    """What the algorithm logged, label beside value, in two columns of both."""
    cells = [(_label(name), f"{value:.3g}") for name, value in metrics.items() if name.partition("/")[0] not in _ABOVE]
    half = (len(cells) + 1) // 2
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "right"):
        table.add_column(justify=justify, min_width=9 if justify == "right" else None)
    for left, right in zip(cells[:half], [*cells[half:], ("", "")], strict=False):
        table.add_row(Text(left[0], "dim"), left[1], Text(f"  {right[0]}", "dim"), right[1])
    return table


def _label(name: str) -> str:
    """``critic loss`` for ``loss/critic``, ``clip fraction`` for ``ppo/clip_fraction``."""
    group, _, leaf = name.rpartition("/")
    words = leaf.replace("_", " ")
    return f"{words} loss" if group == "loss" else words


def sparkline(values: Sequence[float]) -> str:
    """A curve of one line, from the lowest of the values to the highest.

    >>> sparkline([0.0, 1.0, 7.0, 3.5])
    '▁▂█▅'
    """
    low, high = min(values, default=0.0), max(values, default=0.0)
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(_LEVELS[round((value - low) * scale)] for value in values)
