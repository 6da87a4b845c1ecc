from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from keywork.distributions import (
    Categorical,
    Delta,
    IndependentNormal,
    MaskedCategorical,
    MaskedOneHotCategorical,
    OneHotCategorical,
    OneHotOrdinal,
    Ordinal,
    TanhDelta,
    TanhNormal,
)


def pair(dtype=torch.float64):
    torch.manual_seed(0)
    return [(torch.randn(3, 2, dtype=dtype), torch.rand(3, 2, dtype=dtype) + 0.2) for _ in range(2)]


def test_normals_agree_with_torch():
    p, q = pair()
    expected = kl_divergence(Independent(Normal(*p), 1), Independent(Normal(*q), 1))
    torch.testing.assert_close(kl_divergence(IndependentNormal(*p), IndependentNormal(*q)), expected)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-2.0, 2.0), (0.0, 3.0), (torch.tensor([-1.0, 0.0]), torch.ones(2))])
def test_squashing_does_not_change_the_divergence(bounds):
    p, q = pair()
    expected = kl_divergence(IndependentNormal(*p), IndependentNormal(*q))
    torch.testing.assert_close(
        kl_divergence(TanhNormal(*p, low=bounds[0], high=bounds[1]), TanhNormal(*q, low=bounds[0], high=bounds[1])),
        expected,
    )
    # And by draws: E_p [log p - log q].
    p_dist, q_dist = TanhNormal(*p, low=bounds[0], high=bounds[1]), TanhNormal(*q, low=bounds[0], high=bounds[1])
    draws, log_p = p_dist.sample_and_log_prob((50_000,), generator=torch.Generator().manual_seed(0))
    terms = log_p - q_dist.log_prob(draws)
    assert ((terms.mean(0) - expected).abs() < 4 * terms.std(0) / math.sqrt(50_000)).all()


def test_squashed_by_hand():
    # Two dimensions that differ by half a scale: 2 * 0.5^2 / 2 = 0.25.
    p, q = TanhNormal(torch.zeros(2), torch.ones(2)), TanhNormal(torch.full((2,), 0.5), torch.ones(2))
    assert kl_divergence(p, q).item() == pytest.approx(0.25)
    assert kl_divergence(p, p).item() == 0.0


def test_bounds_that_differ_have_no_closed_form():
    p = TanhNormal(torch.zeros(2), torch.ones(2))
    for low, high in ((-2.0, 2.0), (-1.0, 3.0), (torch.tensor([-1.0, -2.0]), 1.0)):
        with pytest.raises(NotImplementedError, match="no closed form for different bounds"):
            kl_divergence(p, TanhNormal(torch.zeros(2), torch.ones(2), low=low, high=high))
    kl_divergence(p, TanhNormal(torch.zeros(2), torch.ones(2), low=torch.tensor(-1.0), high=torch.tensor(1.0)))


@pytest.mark.parametrize("kind", [Categorical, OneHotCategorical])
def test_choices(kind):
    logits = torch.randn(2, 4, 3, dtype=torch.float64)
    theirs = getattr(torch.distributions, kind.__name__)
    expected = kl_divergence(theirs(logits=logits[0]), theirs(logits=logits[1]))
    torch.testing.assert_close(kl_divergence(kind(logits=logits[0]), kind(logits=logits[1])), expected)
    inf = torch.inf
    p = kind(logits=torch.tensor([0.0, 0.0, -inf], requires_grad=True))
    q = kind(logits=torch.tensor([0.0, math.log(3), -inf]))
    # 1/2 log((1/2) / (1/4)) + 1/2 log((1/2) / (3/4)) = 1/2 log(4/3)
    divergence = kl_divergence(p, q)
    assert divergence.item() == pytest.approx(0.5 * math.log(4 / 3))
    (gradient,) = torch.autograd.grad(divergence, p._scores)
    assert gradient.isfinite().all()
    assert kl_divergence(p, kind(logits=torch.tensor([0.0, -inf, 0.0]))).item() == inf


def test_deltas():
    p, q = Delta(torch.tensor([[1.0, 2.0], [1.0, 2.0]])), Delta(torch.tensor([[1.0, 2.0], [1.0, 3.0]]))
    assert kl_divergence(p, q).tolist() == [0.0, math.inf]


def test_gradients_are_right():
    params = [x.requires_grad_() for both in pair() for x in both]
    torch.autograd.gradcheck(lambda *x: kl_divergence(TanhNormal(*x[:2]), TanhNormal(*x[2:])), params)
    logits = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x: kl_divergence(Categorical(x[0]), Categorical(x[1])), (logits,))


MASK = torch.tensor([True, True, True, False])
INDEX = [Categorical, lambda x: MaskedCategorical(x, mask=MASK), Ordinal]
VECTOR = [OneHotCategorical, lambda x: MaskedOneHotCategorical(x, mask=MASK), OneHotOrdinal]


@pytest.mark.parametrize(("p", "q"), list(itertools.product(INDEX + VECTOR, INDEX + VECTOR)))
def test_all_that_choose_have_a_divergence_from_each_other_whatever_form_the_choice_has(p, q):
    p, q = (kind(torch.randn(5, 4, dtype=torch.float64)) for kind in (p, q))
    # Over all four values: sum of p (log p - log q), with 0 log 0 = 0.
    log_p, log_q = p.log_prob(p.enumerate_support()), q.log_prob(q.enumerate_support())
    expected = torch.where(log_p > -math.inf, log_p.exp() * (log_p - log_q), 0.0).sum(0)
    torch.testing.assert_close(kl_divergence(p, q), expected)


def test_points_have_a_divergence_whatever_they_are_made_of():
    param = torch.tensor([[0.5, -1.0], [0.5, 3.0]])
    squashed = TanhDelta(param)
    assert kl_divergence(Delta(param.tanh()), squashed).tolist() == [0.0, 0.0]
    assert kl_divergence(squashed, Delta(param)).tolist() == [math.inf, math.inf]
