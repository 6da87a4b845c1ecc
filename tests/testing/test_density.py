"""The distribution function that the kit integrates, against those that are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, Normal, Uniform

from keywork.testing._density import marginals
from keywork.testing._dist_statistics import _chi_square_limit


def test_of_normal_numbers_it_is_phi():
    loc, scale = torch.tensor([[0.0, 5.0], [-3.0, 1.0]]).double(), torch.tensor([[1.0, 0.1], [2.0, 30.0]]).double()
    dist = Independent(Normal(loc, scale, validate_args=False), 1, validate_args=False)
    draws = dist.sample((500,))
    for place, marginal in enumerate(marginals(dist, draws)):
        truth = Normal(loc, scale).cdf(draws)[..., place].sort(0).values
        torch.testing.assert_close(marginal.cdf(), truth, atol=1e-4, rtol=0.0)
        # The other number is at its mode, of density 1 / (σ √2π).
        rest = -scale[:, 1 - place].log() - 0.5 * math.log(2 * math.pi)
        torch.testing.assert_close(marginal.log_total(), rest, atol=1e-4, rtol=0.0)
        assert torch.equal(marginal.part_of(draws), draws[..., place])


def test_bounds_are_those_of_the_support():
    class Even(Uniform):
        @property
        def mode(self):
            return self.mean

    dist = Even(torch.tensor([2.0]).double(), torch.tensor([6.0]).double(), validate_args=False)
    draws = torch.tensor([[5.0], [3.0]]).double()
    (marginal,) = marginals(dist, draws)
    # (3 − 2) / 4 and (5 − 2) / 4
    assert marginal.cdf().flatten().tolist() == pytest.approx([0.25, 0.75], abs=1e-2)
    assert marginal.log_total().item() == pytest.approx(0.0, abs=1e-2)


@pytest.mark.parametrize("freedom", [1, 2, 9, 45, 100])
def test_the_limit_of_chi_square_is_exceeded_once_in_ten_thousand_times(freedom):
    # P(χ² > x) is the regularised incomplete gamma function Q(n/2, x/2); the approximation errs on the safe side.
    half = torch.tensor([freedom / 2.0, _chi_square_limit(freedom) / 2.0], dtype=torch.float64)
    assert 0.5e-4 < torch.special.gammaincc(*half).item() < 1.1e-4
