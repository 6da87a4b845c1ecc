from __future__ import annotations

import math

import pytest
import torch
from torch import distributions as D

from keywork._errors import SpecError
from keywork.distributions import MaskedCategorical, MultiCategorical

LOGITS = torch.tensor([0.0, math.log(3.0), 0.0, math.log(2.0), 0.0])
"""Probabilities ¼, ¾ of the first index, and ¼, ½, ¼ of the second."""


def test_by_hand():
    dist = MultiCategorical(LOGITS, nvec=[2, 3])
    assert dist.mode.tolist() == dist.mean.tolist() == dist.deterministic_sample.tolist() == [1, 1]
    # ¾ · ½ and ¼ · ¼
    torch.testing.assert_close(dist.log_prob(torch.tensor([[1, 1], [0, 2]])).exp(), torch.tensor([0.375, 0.0625]))
    # -(¼ log ¼ + ¾ log ¾) - (¼ log ¼ + ½ log ½ + ¼ log ¼) = 0.5623 + 1.0397
    torch.testing.assert_close(dist.entropy(), torch.tensor(0.5623351 + 1.0397208))


@pytest.mark.parametrize("nvec", [(2, 3), (3, 3), (1, 5, 2)])
def test_it_is_the_product_of_torchs_categoricals(nvec):
    logits = torch.randn(7, sum(nvec), dtype=torch.float64)
    dist, parts = MultiCategorical(logits, nvec=nvec), [D.Categorical(logits=x) for x in logits.split(nvec, -1)]
    value = dist.sample((4,))
    expected = sum(part.log_prob(value[..., k]) for k, part in enumerate(parts))
    torch.testing.assert_close(dist.log_prob(value), expected)
    torch.testing.assert_close(dist.entropy(), sum(part.entropy() for part in parts))
    other = torch.randn_like(logits)
    others = [D.Categorical(logits=x) for x in other.split(nvec, -1)]
    kl = sum(D.kl_divergence(p, q) for p, q in zip(parts, others, strict=True))
    torch.testing.assert_close(D.kl_divergence(dist, MultiCategorical(other, nvec=nvec)), kl)


def test_draws_are_distributed_and_independent():
    torch.manual_seed(0)
    draws = MultiCategorical(LOGITS, nvec=[2, 3]).sample((40_000,))
    seen = torch.bincount(draws[:, 0] * 3 + draws[:, 1], minlength=6) / 40_000
    expected = torch.outer(torch.tensor([0.25, 0.75]), torch.tensor([0.25, 0.5, 0.25])).flatten()
    torch.testing.assert_close(seen, expected, atol=0.01, rtol=0)  # four standard deviations: 4 √(p (1 - p) / 40 000)


def test_indices_may_be_arranged():
    dist = MultiCategorical(torch.zeros(5, 2 + 3 + 2 + 4), nvec=[2, 3, 2, 4], shape=(2, 2))
    assert (dist.batch_shape, dist.event_shape) == ((5,), (2, 2))
    draws = dist.sample((300,))
    assert draws.flatten(0, 1).amax(0).tolist() == [[1, 2], [1, 3]]


def test_a_mask_forbids_for_each_index_by_itself():
    mask = torch.tensor([True, False, True, False, True])
    dist = MultiCategorical(LOGITS.requires_grad_(), nvec=[2, 3], mask=mask)
    assert set(map(tuple, dist.sample((200,)).tolist())) == {(0, 0), (0, 2)}
    # The second index has the odds 1 : 1 left.
    scores = dist.log_prob(torch.tensor([[0, 0], [0, 2], [1, 0], [0, 1]]))
    assert scores.exp().tolist() == [0.5, 0.5, 0.0, 0.0]
    gradient = torch.autograd.grad(scores[:2].sum() + dist.entropy(), LOGITS)[0]
    assert gradient.isfinite().all()
    LOGITS.requires_grad_(False)


def test_a_choice_beyond_the_shorter_one_is_impossible():
    assert MultiCategorical(LOGITS, nvec=[2, 3]).log_prob(torch.tensor([2, 0])) == -math.inf
    with pytest.raises(SpecError, match=r"MultiCategorical: value of shape \[2\] is invalid"):
        MultiCategorical(LOGITS, nvec=[2, 3], validate_args=True).log_prob(torch.tensor([2, 0]))


@pytest.mark.parametrize(
    ("logits", "options"),
    [
        (torch.zeros(3, 4), {"nvec": [2, 3]}),
        (torch.zeros(3, 5), {"nvec": [2, 3], "shape": (3,)}),
        (torch.tensor(0.0), {"nvec": [1]}),
        (torch.zeros(3, 0), {"nvec": []}),
    ],
)
def test_other_sizes_are_refused(logits, options):
    with pytest.raises(SpecError, match=r"MultiCategorical cannot be built: logits are .* Pass logits of shape"):
        MultiCategorical(logits, **options)


def test_the_messages():
    with pytest.raises(SpecError) as error:
        MultiCategorical(torch.zeros(8, 4), nvec=[2, 3])
    assert str(error.value) == (
        "MultiCategorical cannot be built: logits are float32[8, 4], and nvec=[2, 3] in the shape [2] asks for a last "
        "dimension of 5 and 2 indices. Pass logits of shape [*batch, sum(nvec)], and nvec with a number for each index."
    )
    with pytest.raises(SpecError) as error:
        MultiCategorical(torch.zeros(8, 5), nvec=[2, 3], mask=torch.ones(8, 2, dtype=torch.bool))
    assert str(error.value) == (
        "MultiCategorical cannot be built: its mask is bool[8, 2], and has to say of each of the 5 choices whether it "
        "is allowed. Give it the shape of the logits."
    )
    with pytest.raises(SpecError, match=r"its mask allows no choice in row \[1\]"):
        mask = torch.tensor([True, True, False, False, False])
        MultiCategorical(torch.zeros(5), nvec=[2, 3], mask=mask)
    with pytest.raises(SpecError, match="the highest logit of a choice of shape"):
        MultiCategorical(torch.tensor([0.0, math.nan, 0.0]), nvec=[2, 1], validate_args=True)


def test_a_mask_that_allows_everything_changes_nothing():
    ours = MultiCategorical(LOGITS, nvec=[2, 3], mask=torch.ones(5, dtype=torch.bool))
    assert isinstance(ours._each, MaskedCategorical)
    torch.testing.assert_close(ours.entropy(), MultiCategorical(LOGITS, nvec=[2, 3]).entropy())
