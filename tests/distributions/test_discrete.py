"""What Categorical and OneHotCategorical share."""

from __future__ import annotations

import math

import pytest
import torch

from keywork._errors import SpecError
from keywork.distributions import Categorical, OneHotCategorical

BOTH = pytest.mark.parametrize("kind", [Categorical, OneHotCategorical])


@BOTH
def test_it_agrees_with_torch(kind):
    logits = torch.randn(4, 5, dtype=torch.float64)
    ours, theirs = kind(logits=logits), getattr(torch.distributions, kind.__name__)(logits=logits)
    value = theirs.sample((3,)).long()
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.logits, theirs.logits)
    torch.testing.assert_close(ours.probs, theirs.probs)
    torch.testing.assert_close(kind(probs=logits.exp()).logits, theirs.logits)
    assert torch.equal(ours.mode, theirs.mode.long())
    for expand in (True, False):
        assert torch.equal(ours.enumerate_support(expand), theirs.enumerate_support(expand).long())


@BOTH
def test_ties_give_one_action(kind):
    """The field's one-hot mode is [1, 1, 1] here."""
    dist = kind(logits=torch.zeros(2, 3))
    for value in (dist.mode, dist.mean, dist.deterministic_sample):
        assert value.dtype == torch.int64
        assert value.tolist() == ([0, 0] if kind is Categorical else [[1, 0, 0]] * 2)
        dist.log_prob(value)


@BOTH
def test_excluded_choices_spoil_nothing(kind):
    logits = torch.tensor([[0.0, -torch.inf, 0.0]], requires_grad=True)
    dist = kind(logits=logits)
    assert dist.entropy().item() == pytest.approx(math.log(2))
    (gradient,) = torch.autograd.grad(dist.entropy().sum() + dist.log_prob(dist.mode).sum(), logits)
    torch.testing.assert_close(gradient, torch.tensor([[0.5, 0.0, -0.5]]))
    value = torch.tensor([1]) if kind is Categorical else torch.tensor([[0, 1, 0]])
    assert dist.log_prob(value).item() == -math.inf


@BOTH
def test_a_probability_of_zero_gives_no_nan(kind):
    probs = torch.tensor([[0.5, 0.0, 0.5]], requires_grad=True)
    dist = kind(probs=probs)
    assert dist.probs[0].tolist() == pytest.approx([0.5, 0.0, 0.5], abs=1e-37)
    (gradient,) = torch.autograd.grad(dist.entropy().sum() + dist.log_prob(dist.mode).sum(), probs)
    assert gradient.isfinite().all()


@BOTH
def test_gradients_are_right(kind):
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    value = kind(logits=logits).sample()
    torch.autograd.gradcheck(lambda x: kind(logits=x).log_prob(value), (logits,))
    torch.autograd.gradcheck(lambda x: kind(logits=x).entropy(), (logits,))
    torch.autograd.gradcheck(lambda x: kind(probs=x.exp()).entropy(), (logits,))
    torch.autograd.gradgradcheck(lambda x: kind(logits=x).entropy(), (logits,))


@BOTH
def test_what_was_computed_without_a_gradient_is_not_kept_for_those_who_need_one(kind):
    logits = torch.randn(3, 4, requires_grad=True)
    dist = kind(logits=logits)
    with torch.no_grad():
        value, _ = dist.sample_and_log_prob()
    log_prob = dist.log_prob(value)
    assert log_prob.requires_grad
    kept = dist.logits
    assert dist.logits is kept


@BOTH
def test_one_choice(kind):
    """The field's one-hot class collapses a dimension here."""
    dist = kind(logits=torch.randn(5, 1))
    assert dist.batch_shape == (5,)
    assert dist.sample().shape == ((5,) if kind is Categorical else (5, 1))
    assert dist.log_prob(dist.sample()).tolist() == [0.0] * 5
    assert dist.entropy().tolist() == [0.0] * 5


@BOTH
def test_arguments(kind):
    name = kind.__name__
    for arguments, message in (
        ({}, f"{name} cannot be built: it takes either logits or probs, and got neither. Pass {name}\\(logits=...\\)."),
        ({"logits": torch.zeros(2), "probs": torch.ones(2)}, "and got both"),
        ({"logits": torch.tensor(0.0)}, r"have no dimension, .* Pass a tensor of shape \[\*batch, n\]"),
    ):
        with pytest.raises(SpecError, match=message):
            kind(**arguments)


@BOTH
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_bad_logits_are_named_by_their_row_when_asked_for(kind, bad):
    logits = torch.zeros(2, 3, 4)
    logits[1, 2] = bad
    with pytest.raises(SpecError, match=r"the highest logit of a row .* 1 of 6 places; the first is index \[1, 2\]"):
        kind(logits=logits, validate_args=True)
    kind(logits=logits.nan_to_num(-torch.inf, -torch.inf, -torch.inf)[0], validate_args=True)
    if bad != torch.inf:
        # Unasked, it is not hidden either: the score is NaN.
        dist = kind(logits=logits)
        assert dist.log_prob(dist.mode).isnan().tolist() == [[False] * 3, [False, False, True]]


@BOTH
def test_a_joint_draw_is_a_draw_and_its_log_prob(kind):
    logits = torch.randn(5, 3, requires_grad=True)
    dist = kind(logits=logits)
    for shape in ((), (4,)):
        value, score = dist.sample_and_log_prob(shape, generator=torch.Generator().manual_seed(0))
        assert torch.equal(value, dist.sample(shape, generator=torch.Generator().manual_seed(0)))
        separate = dist.log_prob(value)
        assert torch.equal(score, separate)
        gradients = [torch.autograd.grad(x.sum(), logits, retain_graph=True)[0] for x in (score, separate)]
        assert torch.equal(*gradients)


@BOTH
def test_repr(kind):
    assert repr(kind(logits=torch.zeros(2, 3))) == f"{kind.__name__}(n=3, batch_shape=[2])"
