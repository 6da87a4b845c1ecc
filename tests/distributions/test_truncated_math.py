"""The mass and the quantiles against closed forms with many digits."""

from __future__ import annotations

import mpmath
import pytest
import torch

from keywork.distributions._truncated_math import fall_at, hold, mass_of, quantile, scored_quantile

BOUNDS = [(-1.0, 1.0), (0.0, 10.0), (0.25, 0.26), (-1e4, 3e4)]


def number(x):
    return torch.tensor([x], dtype=torch.float64)


def tail(x):
    return mpmath.erfc(x / mpmath.sqrt(2)) / 2


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("loc", [0.0, 0.3, 1.001, -4.0, 8.0, 34.0, 36.0, -50.0])
def test_quantiles_and_their_slopes(loc, bounds):
    for scale in (1e-6, 1e-2, 1.0, 30.0, 1e3):
        for survival in (1e-12, 1e-3, 0.3, 0.8, 1 - 1e-12):
            got = quantile(number(survival), number(loc), number(scale), *bounds, slopes=True)
            side = -1 if 2 * loc > sum(bounds) else 1
            anchor = hold(number(loc), *bounds).item()
            with mpmath.workdps(170):
                near, end = sorted(side * (mpmath.mpf(bound) - mpmath.mpf(loc)) / scale for bound in bounds)
                xi = side * (mpmath.mpf(anchor) + mpmath.mpf(got.offset.item()) - loc) / scale
                share = (tail(xi) - tail(end)) / (tail(near) - tail(end))
                at_near = share * mpmath.exp((xi**2 - near**2) / 2)
                at_end = (1 - share) * mpmath.exp((xi**2 - end**2) / 2)
                by_loc = float(1 - at_near - at_end)
                by_scale = side * float(xi - near * at_near - end * at_end)
            assert float(share) == pytest.approx(survival, abs=1e-7)
            assert got.by_loc.item() == pytest.approx(by_loc, abs=1e-7, rel=1e-6)
            assert got.by_scale.item() == pytest.approx(by_scale, abs=1e-7, rel=1e-6)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("loc", [0.0, 1.001, -4.0, 34.0, 36.0, -50.0])
def test_the_score_of_a_quantile(loc, bounds):
    for scale in (1e-6, 1e-2, 1.0, 1e3):
        for survival in (1e-12, 0.3, 1 - 1e-12):
            arguments = (number(survival), number(loc), number(scale), *bounds)
            offset = quantile(*arguments, slopes=False).offset.item()
            x, score = scored_quantile(*arguments)
            assert bounds[0] <= x.item() <= bounds[1]
            assert x.item() == pytest.approx(hold(number(loc), *bounds).item() + offset, rel=1e-12, abs=1e-12)
            with mpmath.workdps(170):
                side = -1 if 2 * loc > sum(bounds) else 1
                near, end = sorted(side * (mpmath.mpf(bound) - mpmath.mpf(loc)) / scale for bound in bounds)
                xi = (hold(number(loc), *bounds).item() + mpmath.mpf(offset) - loc) / scale
                exact = -(xi**2) / 2 - mpmath.log(2 * mpmath.pi) / 2 - mpmath.log((tail(near) - tail(end)) * scale)
            assert score.item() == pytest.approx(float(exact), abs=1e-6)


def test_a_far_tail_and_a_number_that_is_none_leave_the_others_as_they_are():
    survival, scale = torch.full((4,), 0.3, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    locs = torch.tensor([0.3, 60.0, torch.nan, -2.0], dtype=torch.float64)
    x, score = scored_quantile(survival, locs, scale, -1.0, 1.0)
    for place in (0, 1, 3):
        alone = scored_quantile(survival[:1], locs[place : place + 1], scale[:1], -1.0, 1.0)
        assert [x[place].item(), score[place].item()] == pytest.approx([number.item() for number in alone])
    assert score.isnan().tolist() == [False, False, True, False]


def test_the_slopes_of_the_furthest_tail_keep_their_digits():
    # 5e7 scales away x - low is exponential: s^2 E / 50, E = -log v, so that dx/ds = 2 s E / 50 and
    # dx/dloc = s^2 E / 50^2; with s = 1e-6 and v = 0.3: 4.8159e-8 and 4.8159e-16.
    got = quantile(number(0.3), number(-51.0), number(1e-6), -1.0, 1.0, slopes=True)
    assert got.offset.item() == pytest.approx(2.40795e-14, rel=1e-5)
    assert got.by_scale.item() == pytest.approx(4.81589e-8, rel=1e-5)
    assert got.by_loc.item() == pytest.approx(4.81589e-16, rel=1e-5)


def test_the_ends_of_the_uniform_number_are_the_bounds():
    for loc, near, far in ((-3.0, -1.0, 1.0), (-60.0, -1.0, 1.0), (60.0, 1.0, -1.0)):
        ends = torch.tensor([1.0, 2.0**-54], dtype=torch.float64)
        # The scale of 30 makes the interval short: what is next to its far end is on it.
        got = quantile(ends, number(loc), number(30.0), -1.0, 1.0, slopes=True)
        assert (got.offset + near).tolist() == pytest.approx([near, far], abs=1e-12)
        assert got.by_loc.tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
        assert got.by_scale.tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("loc", [0.0, -0.9, 3.0, 50.0])
def test_the_mass(loc, bounds):
    for scale in (1e-6, 0.1, 5.0, 1e3):
        mass = mass_of(number(loc), number(scale), *bounds)
        with mpmath.workdps(170):
            near, end = sorted(abs(mpmath.mpf(bound) - loc) / scale for bound in bounds)
            inside = bounds[0] < loc < bounds[1]
            share = 1 - tail(near) - tail(end) if inside else tail(near) - tail(end)
            start = 0 if inside else near
            exact = mpmath.log(share) + start**2 / 2 + mpmath.log(2 * mpmath.pi) / 2 + mpmath.log(scale)
        assert mass.log_norm.item() == pytest.approx(float(exact), abs=5e-8)
        assert mass.average(torch.ones_like(mass.offset)).item() == pytest.approx(1.0)


def test_the_rule_integrates_a_polynomial():
    # A uniform piece from 1 to 3 (a scale of 1e8): E x = 2, E x^2 = (27 - 1) / 3 / 2 = 13/3.
    mass = mass_of(number(0.0), number(1e8), 1.0, 3.0)
    x = mass.anchor + mass.offset
    assert mass.average(x).item() == pytest.approx(2.0)
    assert mass.average(x**2).item() == pytest.approx(13 / 3)


def test_the_fall_by_hand():
    # t = 1, scale 2, a = 3: -1/2 * (1/4 + 3) = -1.625.
    assert fall_at(number(1.0), number(2.0), number(3.0)).item() == -1.625


def test_off_the_cpu_nothing_is_copied_from_it():
    m = torch.zeros(3, 2, device="meta")
    assert mass_of(m, m + 1, -1.0, 1.0).log_norm.shape == (3, 2)
