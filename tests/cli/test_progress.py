from __future__ import annotations

import pytest

from keywork.cli._progress import Progress, duration


def test_of_nothing_is_nothing():
    progress = Progress(1000)
    assert (progress.step, progress.share, progress.rate, progress.recent_return) == (0, 0.0, 0.0, None)
    assert progress.in_words() == "0 of 1,000 steps"
    assert progress.percent == "  0 %"


def test_speed_and_what_is_left_follow_from_the_beginning():
    progress = Progress(100_000)
    progress.add({"step": 20_000, "time": 4.0})
    # 5,000 steps a second, so the other 80,000 take 16 s
    assert progress.in_words() == "20,000 of 100,000 steps   5,000 steps/s   16 s left"
    assert progress.percent == " 20 %"


def test_the_last_update_may_go_beyond_the_end():
    progress = Progress(1000)
    progress.add({"step": 1024, "time": 1.0})
    assert progress.in_words() == "1,024 of 1,024 steps   1,024 steps/s"
    assert (progress.share, progress.percent) == (1.0, "100 %")


def test_the_end_is_never_nearer_than_a_second():
    progress = Progress(1000)
    progress.add({"step": 999, "time": 1.0})
    assert progress.in_words().endswith("   1 s left")


def test_the_recent_return_is_that_of_about_a_hundred_episodes():
    progress = Progress(1000)
    progress.add({"step": 1, "episode/count": 10.0, "episode/return_mean": 2.0})
    assert progress.recent_return == 2.0
    progress.add({"step": 2, "episode/count": 30.0, "episode/return_mean": 6.0})
    # (10 · 2 + 30 · 6) / 40 = 5
    assert progress.recent_return == 5.0
    progress.add({"step": 3})
    assert progress.recent_return == 5.0
    progress.add({"step": 4, "episode/count": 60.0, "episode/return_mean": 5.0})
    # exactly a hundred: (20 + 180 + 300) / 100 = 5
    assert progress.recent_return == 5.0
    progress.add({"step": 5, "episode/count": 10.0, "episode/return_mean": 25.0})
    # the first ten go: (180 + 300 + 250) / 100 = 7.3
    assert progress.recent_return == 7.3
    progress.add({"step": 6, "episode/count": 500.0, "episode/return_mean": 1.0})
    assert progress.recent_return == 1.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
