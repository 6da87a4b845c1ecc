"""Tracks and ports."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywork.flow.picture._route import Fork, branches, spread, tracks_of


def test_lines_that_do_not_touch_share_a_track():
    assert tracks_of([Fork(0, 0, (40,)), Fork(1, 60, (100,))]) == [0, 0]


def test_lines_that_would_cross_twice_on_the_wrong_tracks_cross_not_at_all():
    # both to the right: the one further right has to turn first, so it is the upper one
    assert tracks_of([Fork(0, 0, (100,)), Fork(1, 50, (150,))]) == [1, 0]
    # both to the left: the one further left turns first
    assert tracks_of([Fork(0, 100, (0,)), Fork(1, 150, (50,))]) == [0, 1]


def test_a_line_does_not_run_on_top_of_another_whose_target_is_its_source():
    # 0 ends below at 50, where 1 begins above: 0 has to keep above 1's track ... which it cannot, or 1 above 0's
    upper, lower = tracks_of([Fork(0, 0, (50,)), Fork(1, 50, (100,))])
    assert lower < upper  # 1 leaves its source before 0 arrives below it


@given(st.lists(st.floats(-100, 200), max_size=8).map(sorted))
def test_ports_are_in_order_apart_and_within_the_card(wanted):
    points = spread(wanted, 0, 100, 12)
    gap = min(12, 100 / max(len(wanted) - 1, 1))
    assert all(-1e-9 <= point <= 100 + 1e-9 for point in points)
    assert all(b - a >= gap - 1e-9 for a, b in itertools.pairwise(points))


def test_ports_stay_where_they_are_wanted_if_there_is_room():
    assert spread([10, 30, 70], 0, 100, 12) == [10, 30, 70]


def test_a_fork_is_drawn_once_from_its_source_and_branches_off_elsewhere():
    pieces = dict(branches(Fork(0, 50, (50, 0, 100, 120)), begin=0, track=20, end=40))
    assert pieces == {
        50: [(50, 0), (50, 40)],
        0: [(50, 12), (50, 20), (0, 20), (0, 40)],  # 12: a corner above the track
        120: [(50, 12), (50, 20), (120, 20), (120, 40)],
        100: [(92, 20), (100, 20), (100, 40)],  # a corner before its own turn
    }


@pytest.mark.parametrize("target", [50.0, 50.4])
def test_a_straight_line_needs_no_track(target):
    assert Fork(0, 50, (target,)).straight
