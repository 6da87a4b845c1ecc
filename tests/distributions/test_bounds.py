from __future__ import annotations

import math

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions._bounds import Interval, Symmetric, as_bounds

LIKE = torch.zeros(5, 2)


def test_the_cheapest_form_is_chosen():
    assert as_bounds("X", -1, 1, LIKE) == Symmetric(1.0)
    assert as_bounds("X", -2.5, 2.5, LIKE) == Symmetric(2.5)
    for low, high in ((0.0, 1.0), (torch.tensor(-1.0), 1.0), ([-1.0, -1.0], [1.0, 1.0])):
        assert isinstance(as_bounds("X", low, high, LIKE), Interval)
    with pytest.raises(SpecError, match="X cannot be built: low=1 and high=0"):
        as_bounds("X", 1, 0, LIKE)


def forms(low, high, dtype):
    like = torch.zeros(1, dtype=dtype)
    yield Interval(torch.tensor(low, dtype=dtype), torch.tensor(high, dtype=dtype))
    if low == -high:
        yield as_bounds("X", low, high, like)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-3.0, 3.0), (0.0, 10.0), (-1e4, 7.0), (5.0, 5.5)])
def test_unsquash_inverts_squash(low, high):
    u = torch.linspace(-6, 6, 49, dtype=torch.float64)
    half = (high - low) / 2
    for bounds in forms(low, high, torch.float64):
        y = bounds.squash(u)
        torch.testing.assert_close(y, (low + high) / 2 + half * u.tanh())
        back, side = bounds.unsquash(y)
        torch.testing.assert_close(back, u, atol=1e-7, rtol=0)
        assert (side == 0).all() and not bounds.outside(y).any()
        torch.testing.assert_close(bounds.stretch(u.tanh()), y)
        assert float(bounds.log_half()) == pytest.approx(math.log(half))


@pytest.mark.parametrize("bounds", [Symmetric(1.0), Symmetric(3.0), Interval(torch.tensor(-3.0), torch.tensor(3.0))])
def test_tiny_values_keep_their_digits(bounds):
    u = torch.tensor([1e-30, -1e-12, 3e-7])
    torch.testing.assert_close(bounds.unsquash(u * bounds.high)[0], u, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-2.0, 2.0), (0.0, 4.0), (-1.0, 3.0)])
def test_the_bounds_themselves(dtype, low, high):
    eps = torch.finfo(dtype).eps
    for bounds in forms(low, high, dtype):
        y = torch.tensor([low, high, math.nextafter(high, math.inf), high + 1], dtype=dtype)
        u, side = bounds.unsquash(y)
        assert side.tolist()[:2] == [-1, 1] and u.isfinite().all()
        assert bounds.outside(y).tolist()[:2] == [False, False] and bounds.outside(y)[3]
        # The last number inside a bound of 1 is eps / 2 away from it: u = ½ log((2 - eps / 2) / (eps / 2)).
        if high == 1:
            assert u[1].item() == pytest.approx(0.5 * math.log((2 - eps / 2) / (eps / 2)), rel=1e-6)


def test_zero_is_a_bound_with_numbers_next_to_it():
    bounds = Interval(torch.tensor(0.0), torch.tensor(8.0))
    y = torch.tensor([8e-30, 1e-45, 0.0])
    u, side = bounds.unsquash(y)
    assert u[0].item() == pytest.approx(0.5 * math.log(1e-30), rel=1e-6)
    assert u.isfinite().all() and side.tolist() == [0, 0, -1]
