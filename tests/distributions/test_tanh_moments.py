"""The short sums against quadrature with many digits."""

from __future__ import annotations

import mpmath
import pytest
import torch

from keywork.distributions._tanh_moments import expected_log_slope, mean_of_tanh, mode_before_tanh, variance_of_tanh


def expectation(f, loc, scale):
    breaks = {loc + k * scale for k in (-12, -6, -3, -1, 0, 1, 3, 6, 12)}
    breaks |= {x for x in (-20, -5, -2, -1, 0, 1, 2, 5, 20) if abs(x - loc) < 12 * scale}
    with mpmath.workdps(20):
        return mpmath.quad(lambda u: f(u) * mpmath.npdf(u, loc, scale), sorted(mpmath.mpf(x) for x in breaks))


@pytest.mark.parametrize("scale", [1e-6, 0.05, 0.11, 1.0, 30.0, 1e3])
@pytest.mark.parametrize("loc", [0.0, -0.7, 3.0, 50.0])
def test_expectations(loc, scale):
    m, s = torch.tensor([loc], dtype=torch.float64), torch.tensor([scale], dtype=torch.float64)
    mean = expectation(mpmath.tanh, loc, scale)
    variance = expectation(lambda u: (mpmath.tanh(u) - mean) ** 2, loc, scale)
    slope = expectation(lambda u: -2 * mpmath.log(mpmath.cosh(u)), loc, scale)
    assert mean_of_tanh(m, s).item() == pytest.approx(float(mean), abs=1e-6)
    assert variance_of_tanh(m, s).item() == pytest.approx(float(variance), abs=1e-6)
    assert expected_log_slope(m, s).item() == pytest.approx(float(slope), abs=1e-6)
    single = expected_log_slope(m.float(), s.float()).item()
    assert single == pytest.approx(float(slope), abs=2e-6, rel=2e-7)


def test_the_variance_of_a_small_scale_is_relative():
    # tanh'(0.5) = 1 - tanh(0.5)^2 = 0.786448; the variance is its square times scale^2 = 0.618500e-12.
    variance = variance_of_tanh(torch.tensor([0.5]), torch.tensor([1e-6]))
    assert variance.item() == pytest.approx(0.6185e-12, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 0.3, 0.7071067811865476, 0.75, 2.0, 1e3])
@pytest.mark.parametrize("loc", [0.0, 1e-3, -0.7, 3.0, 50.0])
def test_the_mode_solves_its_equation(loc, scale):
    m, s = torch.tensor([loc], dtype=torch.float64), torch.tensor([scale], dtype=torch.float64)
    u = mode_before_tanh(m, s)
    assert u.isfinite().all() and (u * m >= 0).all()
    residual = u - m - 2 * s**2 * u.tanh()
    # At loc 0, scale √½ the density is flat to fourth order: there no root is better than the next one.
    assert residual.abs().item() < 1e-4 * max(1.0, scale**2)


def test_the_mode_of_tied_peaks_is_one_of_them():
    peak = mode_before_tanh(torch.zeros(3), torch.full((3,), 2.0))
    assert (peak > 7.9).all()  # u = 8 tanh(u)


def test_off_the_cpu_nothing_is_copied_from_it():
    """A device without data takes the path of a GPU: constants are made there."""
    m = torch.zeros(3, 2, device="meta")
    slope = expected_log_slope(m, m)
    assert slope.device.type == "meta" and slope.shape == (3, 2)
