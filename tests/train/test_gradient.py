"""The gradient of a loss, by autograd and as a function of the parameters."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from keywork._errors import UsageError
from keywork.nn import TensorDictModuleBase
from keywork.train._flat import FlatParameters
from keywork.train._gradient import LossGradient


class Fit(TensorDictModuleBase):
    """(w x - y)², |w|, and a number that is no loss."""

    def __init__(self) -> None:
        super().__init__(["x", "y", "absent"], ["loss_fit", "loss_size", "told"], optional_keys=["absent"])
        self.linear = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.linear.weight, 2.0)

    def compute(self, x, y, absent):
        assert absent is None
        error = self.linear(x) - y
        return error.square().mean(), self.linear.weight.abs().sum(), error.detach().mean()


class Named(NamedTuple):
    loss: Tensor
    other: Tensor | None
    told: Tensor


class Settled(TensorDictModuleBase):
    """a x² + b |y|, with settings a and b; without b there is no second loss."""

    def __init__(self, a, b=None, *, squares=True) -> None:
        super().__init__(["x"], ["loss"])
        self.a, self.b, self.squares = a, b, squares
        self.weight = nn.Parameter(torch.ones(3))

    def terms(self, x):
        y = self.weight * x
        other = None if self.b is None else self.b * y.abs().sum()
        return Named(self.a * (y.square() if self.squares else y.abs()).sum(), other, y.detach().sum())

    def compute(self, x):
        return self.terms(x)[:1]


def test_by_hand():
    # x = 3, y = 5. At w = 2: error 1, losses 1 and 2, slope 2 · 1 · 3 + 1. At w = 1: -2, 4 and 1, -2 · 2 · 3 + 1.
    loss = Fit()
    flat = FlatParameters(loss)
    gradient_of = LossGradient(loss.run, flat, 2)
    inputs = torch.tensor([[3.0]]), torch.tensor([[5.0]]), None
    for weight, expected in ((2.0, ([1.0, 2.0, 1.0], 3.0, [7.0])), (1.0, ([4.0, 1.0, -2.0], 5.0, [-11.0]))):
        by_vector = gradient_of.of_vector(torch.tensor([weight]), *inputs)  # whatever the parameters are
        flat.vector.fill_(weight)
        for terms, total, gradient in (by_vector, gradient_of(*inputs)):
            assert ([term.item() for term in terms], total.item(), gradient.tolist()) == expected


def test_a_parameter_that_nothing_depends_on_is_refused():
    loss = Fit()
    loss.forgotten = nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"no gradient for 'forgotten\.weight', 'forgotten\.bias'"):
        LossGradient(loss.run, FlatParameters(loss), 2)(torch.ones(1, 1), torch.ones(1, 1), None)


@pytest.mark.parametrize(("b", "total", "slope"), [(None, 28.0, [4.0, 16.0, 36.0]), (1.0, 34.0, [5.0, 18.0, 39.0])])
def test_terms_keep_their_names_and_what_is_not_there_counts_as_nothing(b, total, slope):
    # x = (1, 2, 3), a = 2 and w = 1: a Σ x² = 28, of which the slope is 2 a x²; b Σ x = 6, of which it is x.
    loss, x = Settled(2.0, b), torch.tensor([1.0, 2.0, 3.0])
    flat = FlatParameters(loss)
    gradient_of = LossGradient(loss.terms, flat, 2)
    for terms, found, gradient in (gradient_of(x), gradient_of.of_vector(flat.vector, x)):
        assert isinstance(terms, Named)
        assert (terms.loss.item(), terms.other is None, terms.told.item()) == (28.0, b is None, 6.0)
        assert not any(term.requires_grad for term in (terms.loss, terms.told, found, gradient))
        assert (found.item(), gradient.tolist()) == (total, slope)


def test_what_is_shared_is_one_parameter():
    class Shared(TensorDictModuleBase):
        """A layer that two parts have, and a weight that two layers have."""

        def __init__(self) -> None:
            super().__init__(["x"], ["loss"])
            trunk = nn.Linear(2, 2)
            self.first, self.second = nn.Sequential(trunk, nn.Linear(2, 2)), nn.Sequential(trunk, nn.Linear(2, 2))
            self.second[1].weight = self.first[1].weight

        def compute(self, x):
            return ((self.first(x) - self.second(x).square()).mean(),)

    torch.manual_seed(0)
    loss = Shared()
    flat = FlatParameters(loss)
    gradient_of, x = LossGradient(loss.run, flat, 1), torch.randn(5, 2)
    _, total, gradient = gradient_of(x)
    parameters = list(loss.parameters())
    (_, again, by_vector), doubled = gradient_of.of_vector(flat.vector, x), 2.0 * flat.vector
    torch.testing.assert_close((again, by_vector), (total, gradient))
    assert all(one is other for one, other in zip(parameters, loss.parameters(), strict=True))
    _, other, _ = gradient_of.of_vector(doubled, x)
    flat.vector.mul_(2.0)
    torch.testing.assert_close(other, loss.run(x)[0].detach())
