"""Ticks, labels and thinned lines."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywork.train._scales import padded, running_mean, short, thinned, ticks, unbroken

values = st.floats(-1e12, 1e12, allow_subnormal=False)


@given(values, values, st.integers(2, 20))
def test_ticks_enclose_the_range_are_round_and_few(one, other, about):
    low, high = padded(min(one, other), max(one, other))
    found = ticks(low, high, about)
    apart = found[1] - found[0]
    slack = 1e-6 * apart
    assert found[0] <= low + slack
    assert high - slack <= found[-1]
    assert 2 <= len(found) <= about + 3
    mantissa = apart / 10 ** math.floor(math.log10(apart) + 1e-9)
    assert min(abs(mantissa - nice) for nice in (1, 2, 5, 10)) < 1e-3


@pytest.mark.parametrize(
    ("low", "high", "about", "expected"),
    [
        (0, 1, 4, [0, 0.5, 1.0]),  # 1 / 4 = 0.25 -> 0.5
        (0, 100, 4, [0, 50, 100]),
        (9, 500, 4, [0, 200, 400, 600]),  # 491 / 4 = 122.75 -> 200
        (-1e-9, 2e-9, 4, [-1e-9, 0, 1e-9, 2e-9]),
        (0, 150_000, 3, [0, 50_000, 100_000, 150_000]),
    ],
)
def test_ticks_that_one_would_choose(low, high, about, expected):
    assert ticks(low, high, about) == pytest.approx(expected, abs=1e-15)


@given(st.floats(-1e300, 1e300, allow_subnormal=False) | st.floats(-1e13, 1e13, allow_subnormal=False))
def test_short_numbers_are_short_and_near(value):
    text = short(value)
    assert len(text) <= (6 if 1 <= abs(value) < 9.9e11 else 10)
    units = {"k": 1e3, "M": 1e6, "G": 1e9}
    number = float(text.rstrip("kMG")) * units.get(text[-1], 1)
    assert number == pytest.approx(value, rel=6e-3)


def test_a_single_value_gets_room_around_it():
    assert padded(3.0, 3.0) == pytest.approx((2.7, 3.3))
    assert padded(0.0, 0.0) == (-1.0, 1.0)
    assert padded(1.0, 2.0) == (1.0, 2.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(4, 50))
def test_thinning_keeps_ends_extremes_and_order(ys, most):
    points = list(enumerate(ys))
    kept = thinned(points, most)
    assert set(kept) <= set(points)
    assert kept == sorted(kept, key=lambda p: p[0])
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert max(y for _, y in kept) == max(ys)
    assert min(y for _, y in kept) == min(ys)
    assert len(kept) <= most + 4


@given(st.lists(st.sampled_from([1.0, 2.0, math.nan, math.inf]), max_size=20))
def test_stretches_hold_every_finite_value_once_and_no_other(ys):
    stretches = list(unbroken(list(enumerate(ys))))
    assert all(stretches)
    assert [p for stretch in stretches for p in stretch] == [(i, y) for i, y in enumerate(ys) if math.isfinite(y)]
    for one, other in itertools.pairwise(stretches):
        assert other[0][0] > one[-1][0] + 1  # something lies between


def test_the_running_mean_is_the_mean_of_what_is_near():
    points = list(enumerate([4.0, 8.0, 0.0, 4.0, 10.0]))
    # reach 1: (4+8)/2, (4+8+0)/3, (8+0+4)/3, (0+4+10)/3, (4+10)/2
    assert running_mean(points, 1) == [(0, 6.0), (1, 4.0), (2, 4.0), (3, pytest.approx(14 / 3)), (4, 7.0)]
    assert running_mean(points, 0) == points
