from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from keywork.cli._live import LiveDisplay, numbers, sparkline

ROW = {
    "step": 512,
    "time": 0.5,
    "episode/count": 5.0,
    "episode/return_mean": 42.125,
    "loss/objective": -0.00312,
    "loss/critic": 12.5,
    "ppo/kl": 0.00421,
    "ppo/clip_fraction": 0.083,
    "ppo/explained_variance": 0.91,
    "speed/steps_per_second": 9.0,
}


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def console(width=80, encoding="utf-8", **options):
    file = Terminal()
    file.encoding = encoding
    return Console(file=file, force_terminal=True, width=width, height=40, legacy_windows=False, **options)


def shown(console):
    """What is on the screen in the end: the last drawing, without colours."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue().replace("\x1b[1A", "\f"))
    return [row.rstrip() for row in text.rpartition("\f")[2].splitlines()]


def display(console, rows, total=1024):
    made = LiveDisplay(console, total)
    for row in rows:
        made.update(row)
    made.end()
    return shown(console)


def test_shows_all_that_matters():
    bar, curve, words, *table = display(console(), [ROW])
    assert bar == "━" * 24 + "╺" + "━" * 23 + "   50 %"
    assert curve.endswith("return 42.12")
    assert words == "512 of 1,024 steps   1,024 steps/s   1 s left"
    text = "\n".join(table)
    for label, value in (
        ("objective loss", "-0.00312"),
        ("critic loss", "12.5"),
        ("kl", "0.00421"),
        ("clip fraction", "0.083"),
        ("explained variance", "0.91"),
    ):
        assert re.search(rf"{label} +{value}( |$)", text, re.MULTILINE), label
    assert "speed" not in text
    assert "episode" not in text


def test_the_curve_grows_with_the_bar():
    rows = [
        {"step": step, "time": 1.0, "episode/count": 100.0, "episode/return_mean": float(step)} for step in range(1, 97)
    ]
    _, curve, *_ = display(console(), rows, total=96)
    line, _, number = curve.partition("  return ")
    assert number == "96"
    assert len(line) == 48
    assert line == "".join(sorted(line))  # it only rises
    assert (line[0], line[-1]) == ("▁", "█")
    half, *_ = (display(console(), rows[:48], total=96)[1]).split()
    assert len(half) in (24, 25)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_fits_into_the_terminal(width):
    rows = display(console(width), [ROW])
    assert max(map(len, rows)) <= width
    assert any("50 %" in row for row in rows)


def test_without_unicode():
    rows = display(console(encoding="ascii"), [ROW])
    assert "\n".join(rows).isascii()
    assert any("return 42.12" in row for row in rows)


def test_without_colours():
    made = console(no_color=True)
    display(made, [ROW])
    assert not re.search(r"\x1b\[[0-9;]*3\dm", made.file.getvalue())


def test_before_the_first_episode_ends_there_is_no_return():
    text = "\n".join(display(console(), [{"step": 1, "time": 1.0, "loss/critic": 1.0}]))
    assert "return" not in text
    assert "critic loss" in text


def test_gives_the_cursor_back_once():
    made = console()
    live = LiveDisplay(made, 10)
    live.end()
    live.end()
    text = made.file.getvalue()
    assert (text.count("\x1b[?25l"), text.count("\x1b[?25h")) == (1, 1)
    assert text.index("\x1b[?25l") < text.index("\x1b[?25h")


def test_draws_twice_a_second_however_often_it_is_told():
    made = console()
    live = LiveDisplay(made, 10**6)
    began, told = time.monotonic(), 0
    while time.monotonic() - began < 1.3:
        live.update({**ROW, "step": told})
        told += 1
    drawn = made.file.getvalue().count("1,000,000 steps")
    live.end()
    assert told > 100
    assert drawn in (2, 3)  # the empty one at first, and at 0.5 s and 1.0 s


def test_numbers_of_any_algorithm_are_shown():
    made = console(200)
    made.print(numbers({"step": 1.0, "sac/alpha": 0.25, "loss/q": 1.0, "loss/actor": -2.0}))
    assert [row.split() for row in shown(made)] == [["alpha", "0.25", "actor", "loss", "-2"], ["q", "loss", "1"]]
    assert numbers({}).row_count == 0


@pytest.mark.parametrize(
    ("values", "line"), [([], ""), ([5.0], "▁"), ([5.0, 5.0], "▁▁"), ([0.0, 7.0], "▁█"), ([-7.0, -3.5, 0.0], "▁▅█")]
)
def test_sparklines(values, line):
    assert sparkline(values) == line
