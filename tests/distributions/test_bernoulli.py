from __future__ import annotations

import math

import pytest
import torch
from torch import distributions as D

from keywork._errors import SpecError
from keywork.distributions import Bernoulli


def test_by_hand():
    dist = Bernoulli(probs=torch.tensor([0.25, 0.75]))
    assert dist.mode.tolist() == dist.mean.tolist() == dist.deterministic_sample.tolist() == [0, 1]
    # ¾ · ¾ and ¼ · ¾
    torch.testing.assert_close(dist.log_prob(torch.tensor([[0, 1], [1, 1]])).exp(), torch.tensor([0.5625, 0.1875]))
    # 2 · -(¼ log ¼ + ¾ log ¾)
    torch.testing.assert_close(dist.entropy(), torch.tensor(2 * 0.5623351))
    torch.testing.assert_close(dist.probs, torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(dist.logits, torch.tensor([-math.log(3.0), math.log(3.0)]))
    torch.testing.assert_close(dist.variance, torch.tensor([0.1875, 0.1875]))


def test_it_is_torchs_with_the_event_summed():
    logits = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    dist, theirs = Bernoulli(logits), D.Independent(D.Bernoulli(logits=logits), 1)
    value = dist.sample((4,))
    torch.testing.assert_close(dist.log_prob(value), theirs.log_prob(value.double()))
    torch.testing.assert_close(dist.entropy(), theirs.entropy())
    (ours,) = torch.autograd.grad(dist.log_prob(value).sum() + dist.entropy().sum(), logits)
    (other,) = torch.autograd.grad(theirs.log_prob(value.double()).sum() + theirs.entropy().sum(), logits)
    torch.testing.assert_close(ours, other)
    q, their_q = Bernoulli(logits.flip(0)), D.Independent(D.Bernoulli(logits=logits.flip(0)), 1)
    torch.testing.assert_close(D.kl_divergence(dist, q), D.kl_divergence(theirs, their_q))


def test_far_out_the_scores_stay_exact():
    # log σ(-200) = -200, log σ(200) = -e⁻²⁰⁰, which is 0 in float64's neighbourhood of it.
    dist = Bernoulli(torch.tensor([200.0, -200.0], dtype=torch.float64))
    assert dist.log_prob(torch.tensor([[0, 0], [1, 0], [0, 1]])).tolist() == pytest.approx([-200.0, 0.0, -400.0])
    assert dist.entropy().item() == pytest.approx(0.0, abs=1e-80)


def test_draws_are_distributed():
    torch.manual_seed(0)
    draws = Bernoulli(probs=torch.tensor([0.0, 0.1, 0.8, 1.0])).sample((40_000,)).double().mean(0)
    # four standard deviations: 4 √(0.16 / 40 000)
    torch.testing.assert_close(draws, torch.tensor([0.0, 0.1, 0.8, 1.0]).double(), atol=0.008, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.float32])
def test_zeros_and_ones_of_every_type_are_scored(dtype):
    dist = Bernoulli(torch.tensor([0.3, -1.0, 2.0]), validate_args=True)
    value = torch.tensor([1, 0, 1])
    assert torch.equal(dist.log_prob(value.to(dtype)), dist.log_prob(value))


@pytest.mark.parametrize(("dims", "batch", "event"), [(None, (2,), (3,)), (0, (2, 3), ()), (2, (), (2, 3))])
def test_the_event(dims, batch, event):
    dist = Bernoulli(torch.zeros(2, 3), event_dims=dims)
    assert (dist.batch_shape, dist.event_shape) == (batch, event)
    assert dist.log_prob(dist.sample()).shape == batch
    assert Bernoulli(torch.tensor(0.0)).event_shape == ()


def test_what_is_refused():
    with pytest.raises(SpecError) as error:
        Bernoulli()
    assert str(error.value) == (
        "Bernoulli cannot be built: it takes either logits or probs, and got neither. Pass Bernoulli(logits=...)."
    )
    with pytest.raises(SpecError, match="got both"):
        Bernoulli(torch.zeros(2), torch.zeros(2))
    with pytest.raises(SpecError, match="3 event dimensions were asked for"):
        Bernoulli(torch.zeros(2, 3), event_dims=3)
    with pytest.raises(SpecError, match=r"probs of shape \[2\] is invalid at 1 of 2 places"):
        Bernoulli(probs=torch.tensor([0.5, 1.5]), validate_args=True)
    with pytest.raises(SpecError, match="value of shape"):
        Bernoulli(torch.zeros(2), validate_args=True).log_prob(torch.tensor([0, 2]))
