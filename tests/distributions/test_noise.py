"""The draws follow their laws: statistics with fixed seeds, against the critical values of their tests."""

from __future__ import annotations

import math

import pytest
import torch

from keywork.distributions import Categorical, IndependentNormal, OneHotCategorical, TanhNormal, TruncatedNormal
from keywork.distributions._noise import gumbel_argmax


def kolmogorov_smirnov(sample: torch.Tensor, cdf) -> float:
    """√n sup |F_n − F|: above 1.95 with probability 0.001."""
    x = sample.flatten().sort().values
    n = len(x)
    expected, steps = cdf(x), torch.arange(n + 1, dtype=x.dtype) / n
    return math.sqrt(n) * max((steps[1:] - expected).max().item(), (expected - steps[:-1]).max().item())


def chi_square(counts: torch.Tensor, probs: torch.Tensor) -> float:
    expected = counts.sum() * probs
    return ((counts - expected).square() / expected).sum().item()


def normal_cdf(x):
    return torch.special.ndtr(x)


def test_normal_draws_are_normal():
    loc, scale = torch.tensor([2.0], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    draws = IndependentNormal(loc, scale).sample((20_000,), generator=torch.Generator().manual_seed(0))
    assert kolmogorov_smirnov(draws, lambda x: normal_cdf((x - 2) / 0.3)) < 1.95
    # The test can fail: a location off by a tenth of a scale is found.
    assert kolmogorov_smirnov(draws, lambda x: normal_cdf((x - 2.03) / 0.3)) > 1.95


def test_squashed_draws_are_squashed_normals():
    loc, scale = torch.tensor([0.4], dtype=torch.float64), torch.tensor([0.8], dtype=torch.float64)
    for low, high in ((-1.0, 1.0), (-3.0, 3.0), (2.0, 12.0)):
        dist = TanhNormal(loc, scale, low=low, high=high)
        draws = dist.sample((20_000,), generator=torch.Generator().manual_seed(1))
        centre, half = (low + high) / 2, (high - low) / 2
        assert (
            kolmogorov_smirnov(draws, lambda x, c=centre, h=half: normal_cdf((((x - c) / h).atanh() - 0.4) / 0.8))
            < 1.95
        )


def test_choices_have_their_probabilities():
    probs = torch.tensor([0.5, 0.3, 0.15, 0.05])
    draws = Categorical(probs=probs).sample((40_000,), generator=torch.Generator().manual_seed(2))
    counts = torch.bincount(draws, minlength=4).double()
    assert chi_square(counts, probs.double()) < 16.27  # 3 degrees of freedom, 0.001
    assert chi_square(counts, torch.tensor([0.48, 0.32, 0.15, 0.05]).double()) > 16.27
    hot = OneHotCategorical(probs=probs).sample((40_000,), generator=torch.Generator().manual_seed(3))
    assert chi_square(hot.sum(0).double(), probs.double()) < 16.27


def test_logits_need_not_be_normalised():
    logits = torch.tensor([1000.0, 1000.0 + math.log(3)])
    draws = gumbel_argmax(logits, (20_000,), torch.Generator().manual_seed(4))
    counts = torch.bincount(draws, minlength=2).double()
    assert chi_square(counts, torch.tensor([0.25, 0.75]).double()) < 10.83  # 1 degree of freedom, 0.001


def test_what_is_excluded_is_never_drawn(monkeypatch):
    """Also when the uniform number is exactly zero, whose noise would be −inf for the only choice left."""
    logits = torch.tensor([-torch.inf, 0.0])
    assert (gumbel_argmax(logits, (10_000,), None) == 1).all()
    monkeypatch.setattr(torch, "rand_like", torch.zeros_like)
    assert gumbel_argmax(logits, (), None).item() == 1
    assert Categorical(probs=torch.tensor([0.0, 1.0])).sample().item() == 1


def test_draws_of_a_batch_are_independent():
    draws = Categorical(logits=torch.zeros(2, 2)).sample((20_000,), generator=torch.Generator().manual_seed(5))
    counts = torch.bincount(draws[:, 0] * 2 + draws[:, 1], minlength=4).double()
    assert chi_square(counts, torch.full((4,), 0.25).double()) < 16.27


@pytest.mark.parametrize("kind", [IndependentNormal, TanhNormal, TruncatedNormal])
def test_several_draws_of_a_batch_whose_size_is_dynamic_compile(kind):
    """A generator=None that is passed on cannot be."""

    def several(loc):
        return kind(loc, torch.ones_like(loc)).sample_and_log_prob((3,))[0]

    compiled = torch.compile(several, fullgraph=True, backend="eager", dynamic=True)
    for size in (4, 7):
        assert compiled(torch.zeros(size, 2)).shape == (3, size, 2)
    choose = torch.compile(lambda x: Categorical(x).sample((3,)), fullgraph=True, backend="eager", dynamic=True)
    assert choose(torch.zeros(4, 2)).shape == (3, 4)
