"""Ordinal, and what OneHotOrdinal shares with it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import kl_divergence

from keywork._errors import SpecError
from keywork.distributions import Categorical, OneHotOrdinal, Ordinal

BOTH = pytest.mark.parametrize("kind", [Ordinal, OneHotOrdinal])


def brute_force(scores: list[float]) -> list[float]:
    """Probabilities from the products of the definition, in Python's numbers."""
    sigma = [1 / (1 + math.exp(-s)) for s in scores]
    products = [math.prod(p if i <= k else 1 - p for i, p in enumerate(sigma)) for k in range(len(scores))]
    return [product / sum(products) for product in products]


@BOTH
@settings(max_examples=50)
@given(scores=st.lists(st.floats(-8, 8), min_size=1, max_size=7))
def test_it_is_the_definition(kind, scores):
    dist = kind(torch.tensor(scores, dtype=torch.float64))
    p = torch.tensor(brute_force(scores), dtype=torch.float64)
    torch.testing.assert_close(dist.probs, p)
    torch.testing.assert_close(dist.entropy(), torch.special.entr(p).sum(-1))
    for k in range(len(scores)):
        value = torch.tensor(k)
        value = value if kind is Ordinal else F.one_hot(value, len(scores))
        torch.testing.assert_close(dist.log_prob(value), p[k].log())


@BOTH
def test_by_hand(kind):
    # Logits, to a constant: 0, log 2, log 2 + log 1/2 = 0, so that p = (1, 2, 1) / 4.
    dist = kind(torch.tensor([[7.0, math.log(2), -math.log(2)]]))
    assert dist.probs[0].tolist() == pytest.approx([0.25, 0.5, 0.25])
    for value in (dist.mode, dist.mean, dist.deterministic_sample):
        assert value.tolist() == ([1] if kind is Ordinal else [[0, 1, 0]])


@BOTH
def test_scores_of_zero_are_uniform_and_give_one_action(kind):
    dist = kind(torch.zeros(2, 4))
    assert (dist.probs == 0.25).all()
    assert dist.deterministic_sample.tolist() == ([0, 0] if kind is Ordinal else [[1, 0, 0, 0]] * 2)


@BOTH
@pytest.mark.parametrize("size", [200.0, 1e4])
def test_extreme_scores_take_an_end_with_finite_gradients(kind, size):
    for sign, end in ((1, 4), (-1, 0)):
        scores = torch.full((5,), sign * size, requires_grad=True)
        dist = kind(scores)
        value = dist.sample()
        assert (value if kind is Ordinal else value.argmax(-1)).item() == end
        assert (dist.log_prob(value).item(), dist.entropy().item()) == (0.0, 0.0)
        (gradient,) = torch.autograd.grad(dist.log_prob(value) + dist.entropy(), scores)
        assert gradient.isfinite().all()


@BOTH
def test_a_score_moves_all_that_are_higher_together(kind):
    scores = torch.tensor([0.3, -0.5, 0.8, 0.1])
    moved = kind(scores + torch.tensor([0.0, 0.0, 1.0, 0.0])).logits - kind(scores).logits
    assert (moved - moved[0]).tolist() == pytest.approx([0.0, 0.0, 1.0, 1.0], abs=1e-6)


@BOTH
def test_gradients_are_right(kind):
    scores = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    value = kind(scores).sample()
    torch.autograd.gradcheck(lambda x: kind(x).log_prob(value), (scores,))
    torch.autograd.gradcheck(lambda x: kind(x).entropy(), (scores,))


@BOTH
def test_samples_have_its_probabilities(kind):
    scores = torch.tensor([0.0, 0.7, -0.4, -0.6])
    draws = kind(scores).sample((40_000,))
    counts = torch.bincount(draws if kind is Ordinal else draws.argmax(-1), minlength=4)
    expected = 40_000 * torch.tensor(brute_force(scores.tolist()))
    # Pearson's χ² with three degrees of freedom is above 21.1 with a probability of 1e-4.
    assert ((counts - expected) ** 2 / expected).sum() < 21.1


@BOTH
def test_divergence(kind):
    a, b = [0.5, 1.0, -2.0], [0.0, -1.0, 0.3]
    p, q = brute_force(a), brute_force(b)
    expected = sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    assert kl_divergence(kind(torch.tensor(a)), kind(torch.tensor(b))).item() == pytest.approx(expected, rel=1e-5)


def test_divergence_from_a_categorical():
    scores = torch.tensor([0.5, 1.0, -2.0])
    # Logits of sums: (0.5, 1.5, -0.5).
    same = Categorical(torch.tensor([0.5, 1.5, -0.5]))
    assert kl_divergence(Ordinal(scores), same).item() == pytest.approx(0.0, abs=1e-6)


@BOTH
def test_arguments(kind):
    with pytest.raises(SpecError) as error:
        kind(torch.tensor(0.0))
    assert str(error.value) == (
        f"{kind.__name__} cannot be built: its scores have no dimension, and the last one must be the number of "
        "choices. Pass a tensor of shape [*batch, n]."
    )
    scores = torch.zeros(2, 3)
    scores[1, 1] = torch.nan
    with pytest.raises(SpecError, match=r"the highest logit of a row .* the first is index \[1\]"):
        kind(scores, validate_args=True)
    assert torch.equal(kind(scores[:1]).expand((4, 1)).scores, torch.zeros(4, 1, 3))
