from __future__ import annotations

import enum

import pytest
import torch
import torch.nn.functional as F

from keywork._errors import SpecError
from keywork.distributions import MaskedOneHotCategorical, OneHotCategorical

LOGITS = torch.tensor([[0.0, 1.0, 2.0], [2.0, 0.5, -1.0]])


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8, torch.float32, torch.bfloat16])
def test_one_hots_of_any_type(dtype):
    """The field's class crashes for bool, the default type of its own spec."""
    value = torch.tensor([[0, 1, 0], [0, 0, 1]])
    expected = LOGITS.log_softmax(-1)[[0, 1], [1, 2]]
    torch.testing.assert_close(OneHotCategorical(logits=LOGITS).log_prob(value.to(dtype)), expected)


def test_an_index_is_refused():
    """The field scores it silently as class 0."""
    with pytest.raises(SpecError) as error:
        OneHotCategorical(logits=LOGITS).log_prob(torch.tensor([1, 2]))
    assert str(error.value) == (
        "OneHotCategorical.log_prob cannot score a value of shape [2].\n"
        "  where: batch shape [2], event shape [3]\n"
        "  expected: a tensor [..., 2, 3]\n"
        "  got: int64[2]\n"
        "  fix: It looks like an index: pass torch.nn.functional.one_hot(value, 3), or use Categorical."
    )
    # Also where the batch has as many rows as there are choices, and with samples in front.
    for shape in ((3,), (5, 3)):
        with pytest.raises(SpecError, match="It looks like an index"):
            OneHotCategorical(logits=torch.zeros(3, 3)).log_prob(torch.zeros(shape, dtype=torch.int64))
    with pytest.raises(SpecError, match="Reshape the value"):
        OneHotCategorical(logits=LOGITS).log_prob(torch.zeros(2, 4))


def test_shapes_and_samples():
    dist = OneHotCategorical(logits=LOGITS)
    assert (dist.batch_shape, dist.event_shape) == ((2,), (3,))
    draws = dist.sample((100,))
    assert draws.dtype == torch.int64 and draws.shape == (100, 2, 3)
    assert (draws.sum(-1) == 1).all() and ((draws == 0) | (draws == 1)).all()


def test_rsample_is_straight_through():
    """Exactly one-hot in value, the Jacobian of softmax in gradient: pⱼ (δⱼₖ − pₖ)."""
    assert not OneHotCategorical(logits=LOGITS).has_rsample
    logits = LOGITS.double().requires_grad_()
    draw = OneHotCategorical(logits=logits).rsample()
    assert draw.dtype == torch.float64
    assert ((draw == 0) | (draw == 1)).all() and (draw.sum(-1) == 1).all()
    weights = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], dtype=torch.float64)
    (gradient,) = torch.autograd.grad((draw * weights).sum(), logits)
    p = logits.softmax(-1).detach()
    expected = p * (weights - (p * weights).sum(-1, keepdim=True))
    torch.testing.assert_close(gradient, expected)
    value, log_prob = OneHotCategorical(logits=LOGITS).rsample_and_log_prob((5,))
    torch.testing.assert_close(log_prob, OneHotCategorical(logits=LOGITS).log_prob(value.long()))


def test_variance_is_that_of_the_indicator():
    dist = OneHotCategorical(probs=torch.tensor([0.25, 0.75]))
    assert dist.variance.tolist() == pytest.approx([0.1875, 0.1875])


def test_the_support_is_one_hot():
    support = OneHotCategorical(logits=LOGITS).support
    assert support.check(F.one_hot(torch.arange(3))).all()
    assert not support.check(torch.ones(3)).any()


class Field(enum.Enum):
    """As the field spells it."""

    PassThrough = 1
    RelaxedOneHot = 2


METHODS = [("pass-through", "pass-through"), ("relaxed", "relaxed"), (Field.PassThrough, "pass-through")]
METHODS += [(Field.RelaxedOneHot, "relaxed")]
KINDS = [OneHotCategorical, lambda x, **o: MaskedOneHotCategorical(x, mask=torch.ones(4, dtype=torch.bool), **o)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "name"), METHODS)
def test_gradients_of_a_draw(kind, method, name):
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    dist, weights = kind(logits, grad_method=method), torch.randn(4, dtype=torch.float64)
    assert dist.grad_method == dist.expand((2, 6)).grad_method == name
    assert not dist.has_rsample
    value = dist.rsample(generator=torch.Generator().manual_seed(0))
    assert ((value == 0) | (value == 1)).all() and (value.sum(-1) == 1).all()
    # The value is that of the same draw without a gradient.
    assert torch.equal(value.detach(), dist.sample(generator=torch.Generator().manual_seed(0)).double())
    (gradient,) = torch.autograd.grad(value @ weights, logits, torch.ones(6, dtype=torch.float64))
    if name == "relaxed":
        # softmax(logits + g), with g = -log(-log u) and the u of that seed.
        uniform = torch.rand(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        soft = (logits - (-(uniform + torch.finfo(torch.float32).tiny).log()).log()).softmax(-1)
    else:
        soft = logits.softmax(-1)
    (expected,) = torch.autograd.grad(soft @ weights, logits, torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(gradient, expected)


def test_another_way_to_have_gradients_is_refused():
    with pytest.raises(SpecError) as error:
        OneHotCategorical(torch.zeros(3), grad_method="gumbel")
    assert str(error.value) == (
        "OneHotCategorical cannot be built: there is no such way to have gradients of a draw.\n"
        "  where: grad_method\n"
        "  expected: 'pass-through' or 'relaxed'\n"
        "  got: 'gumbel'\n"
        "  fix: grad_method='relaxed' for a Gumbel-softmax, or leave it out"
    )
