"""Curves: the right charts, in order, and well-formed pictures of anything that can be logged."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from keywork.train._curves import curve_charts, curves_style, curves_svg, series_of

SVG = "{http://www.w3.org/2000/svg}"


def run_of(length):
    """Rows as PPO logs them."""
    return [
        {
            "step": 256 * (i + 1),
            "time": 0.1 * i,
            "ppo/kl": 0.01 + 0.001 * math.sin(i),
            "ppo/clip_fraction": 0.1,
            "speed/steps_per_second": 9000.0,
            "loss/critic": 1 / (i + 1),
            "episode/return_mean": float(i),
            "episode/return_min": i - 5.0,
            "episode/return_max": i + 5.0,
            "episode/count": 3.0,
        }
        for i in range(length)
    ]


def shapes(svg, name):
    return [element for element in ElementTree.fromstring(svg).iter() if element.get("class") == name]


def titles(svg):
    return ["".join(t.itertext()) for t in ElementTree.fromstring(svg).iter(f"{SVG}text") if t.get("font-size") == "13"]


def coordinates(path):
    return [tuple(map(float, pair.split())) for pair in re.split("[MLZ]", path.get("d")) if pair]


def test_charts_are_in_order_and_what_is_no_metric_is_left_out():
    names = [series.name for series in series_of(run_of(3))]
    assert names == ["episode/return_mean", "loss/critic", "ppo/kl", "ppo/clip_fraction", "speed/steps_per_second"]
    unknown = series_of([{"step": 1, "z": 1.0, "a/b": 1.0, "speed/x": 1.0, "eval/x": 1.0}])
    assert [series.name for series in unknown] == ["eval/x", "a/b", "z", "speed/x"]


def test_a_band_is_made_of_extremes_or_of_a_deviation():
    (series, *_) = series_of(run_of(2))
    assert series.band == ((256, -5.0, 5.0), (512, -4.0, 6.0))
    (series,) = series_of([{"step": 1, "x_mean": 3.0, "x_std": 0.5}, {"step": 2, "x_mean": 4.0, "x_std": math.nan}])
    assert series.band == ((1, 2.5, 3.5),)
    assert len(shapes(curves_svg(run_of(3)), "band")) == 1


def test_what_is_logged_once_in_a_whole_run_is_no_curve_but_one_row_alone_is_shown():
    rows = [*run_of(5), {"step": 1280, "eval/return_mean": 500.0}]
    assert "eval/return_mean" not in [series.name for series in series_of(rows)]
    assert [series.name for series in series_of([{"step": 1, "a": 2.0}])] == ["a"]
    assert len(shapes(curves_svg([{"step": 1, "a": 2.0}]), "dot")) == 1


def test_a_line_goes_through_its_points():
    # 340 x 190 pixels; 46 left, 14 right, 34 above, 24 below: the plot is 280 x 132.
    # Steps 0 to 100; values 0 to 10 with ticks 0, 5, 10 (10 / 4 = 2.5 -> 5).
    svg = curves_svg([{"step": 0, "a": 0.0}, {"step": 50, "a": 10.0}, {"step": 100, "a": 5.0}])
    (line,) = shapes(svg, "line")
    assert coordinates(line) == [(46, 166), (46 + 140, 34), (46 + 280, 34 + 66)]
    assert titles(svg) == ["a", "5"]


def test_all_charts_end_at_the_same_step():
    svg = curves_svg([{"step": 0, "a": 0.0, "b": 1.0}, {"step": 50, "a": 1.0, "b": 1.0}, {"step": 100, "b": 2.0}])
    first, second = shapes(svg, "line")
    assert coordinates(first)[-1][0] == 46 + 140
    assert coordinates(second)[-1][0] == 46 + 280


def test_rows_without_a_metric_do_not_break_its_line_and_nan_does():
    without = [{"step": i, "a": 1.0} if i != 2 else {"step": i} for i in range(5)]
    assert len(shapes(curves_svg(without), "line")) == 1
    for bad in (math.nan, math.inf, -math.inf):
        broken = [{"step": i, "a": bad if i == 2 else 1.0} for i in range(5)]
        assert len(shapes(curves_svg(broken), "line")) == 2
    alone = [{"step": i, "a": 1.0 if i == 2 else math.nan} for i in range(5)]
    assert len(shapes(curves_svg(alone), "dot")) == 1


def test_a_metric_that_is_never_finite_says_so():
    svg = curves_svg([{"step": i, "a": math.nan} for i in range(3)])
    assert "no finite value" in svg
    ElementTree.fromstring(svg)


def test_long_runs_are_smoothed_and_stay_small():
    rows = run_of(100_000)
    svg = curves_svg(rows)
    assert len(svg) < 400_000
    assert len(shapes(svg, "raw")) == len(shapes(svg, "line")) == 5
    assert len(shapes(curves_svg(run_of(50)), "raw")) == 0


def test_a_goal_is_a_dashed_line_and_within_the_chart():
    (goal,) = shapes(curves_svg(run_of(3), {"episode/return_mean": 475.0}), "goal")
    (left, y), (right, other) = coordinates(goal)
    assert y == other
    assert left < right
    assert 34 <= y - 16 <= 246  # the large chart begins 16 below the edge and is 270 high
    zero = [{"step": 0, "a": -2.0}, {"step": 1, "a": -1.0}]
    assert len(shapes(curves_svg(zero, {"a": 0.0}), "goal")) == 1


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 0}],
        [{"step": 0, "a": 0.0}],
        [{"step": 5, "a": 1e30}, {"step": 6, "a": -1e30}],
        [{"step": i, "a": 7.0} for i in range(3)],
        [{"step": i, "a": 1e-300 * i} for i in range(3)],
        [{"step": 3, "a": 1.0}, {"step": 3, "a": 2.0}],
        [{"a": 1.0}],
        [{"step": 0, "<b>&\"'\x00": 1.0}, {"step": 1, "<b>&\"'\x00": 2.0}],
    ],
)
def test_anything_that_can_be_logged_is_drawn_inside_its_frame(rows):
    root = ElementTree.fromstring(curves_svg(rows))
    width, height = float(root.get("width")), float(root.get("height"))
    for element in root.iter():
        for name, most in (("x", width), ("y", height), ("cx", width), ("cy", height)):
            if element.get(name) is not None:
                assert -1 <= float(element.get(name)) <= most
        if element.get("d"):
            assert "nan" not in element.get("d")
            assert "inf" not in element.get("d")


def test_nothing_logged_says_so():
    assert "Nothing was logged yet." in curves_svg([])


def test_the_same_rows_give_the_same_bytes():
    assert curves_svg(run_of(200)) == curves_svg(run_of(200))


def test_pictures_fetch_nothing_and_follow_light_and_dark():
    svg = curves_svg(run_of(3))
    assert re.findall(r"https?://[^\"' )]+", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"\b(src|href|url|import)\b", svg)
    assert "prefers-color-scheme:dark" in svg
    assert re.search(r'\bid="', svg) is None


def test_a_page_gets_each_chart_alone_and_the_first_in_two_sizes():
    charts = curve_charts(run_of(3))
    assert [place for place, _ in charts] == ["wide", "narrow", "", "", "", ""]
    for _, chart in charts:
        assert "<style" not in chart
        root = ElementTree.fromstring(chart)
        assert "kw-curves" in root.get("class")
        assert f".{root.get('class').split()[1]}" in curves_style()
