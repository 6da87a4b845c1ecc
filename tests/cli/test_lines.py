from __future__ import annotations

import io

import pytest
from rich.console import Console

from keywork.cli import _lines
from keywork.cli._lines import Lines


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(_lines, "time", made)
    return made


def written(clock, total, seconds, updates):
    """The steps of the lines that a run of equal updates leaves."""
    file = io.StringIO()
    lines = Lines(Console(file=file, width=40), total)
    for update in range(1, updates + 1):
        clock.now += seconds
        lines.update({"step": update * total // updates, "time": update * seconds})
    lines.end()
    return [int(row.split()[2].replace(",", "")) for row in file.getvalue().splitlines()]


def test_a_quick_run_has_a_line_every_five_seconds(clock):
    # 100 updates in 20 s: the first, then one 5 s (25 updates) later each, and the last.
    assert written(clock, 100, 0.2, 100) == [1, 26, 51, 76, 100]


def test_a_run_of_minutes_has_a_line_every_tenth(clock):
    # 100 updates in 300 s: a tenth is 30 s.
    assert written(clock, 100, 3.0, 100) == [1, *range(10, 101, 10)]


def test_a_slow_run_has_a_line_every_minute(clock):
    # 100 updates in 6,000 s: each takes a minute.
    assert written(clock, 1000, 60.0, 100) == list(range(10, 1001, 10))


def test_a_run_of_one_update_has_one_line(clock):
    assert written(clock, 100, 0.1, 1) == [100]


def test_a_line_is_not_broken():
    file = io.StringIO()
    Lines(Console(file=file, width=20), 10**6).update(
        {"step": 1000, "time": 10.0, "episode/count": 1.0, "episode/return_mean": -1234.5678}
    )
    assert file.getvalue() == "  0 %   return -1235   1,000 of 1,000,000 steps   100 steps/s   2 h 46 min left\n"
