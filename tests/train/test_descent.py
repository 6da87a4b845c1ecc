"""Steps down the gradient of a loss, compiled and not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork._errors import NonFiniteError, UsageError
from keywork.nn import TensorDictModuleBase
from keywork.train import Descent, FlatAdam

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about torch


class Squares(TensorDictModuleBase):
    """a Σ (w x)² and b Σ w², with settings a and b; without b there is no second loss."""

    def __init__(self, a=1.0, b=None, *, squares=True) -> None:
        super().__init__(["x"], ["loss"])
        self.a, self.b, self.squares = a, b, squares
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))

    def terms(self, x):
        y = self.weight * x
        other = None if self.b is None else self.b * self.weight.square().sum()
        return self.a * (y.square() if self.squares else y.abs()).sum(), other, y.sum()

    def compute(self, x):
        return self.terms(x)[:1]


class Halved(Squares):
    """Σ w / 2: of the same parameters and inputs, and another loss."""

    def terms(self, x):
        return self.weight.sum() / 2 + 0.0 * x.sum(), None, x.sum()


def descent_of(loss, *, compile=True, **options):
    optimizer = FlatAdam(loss, **{"lr": 0.1, "max_grad_norm": 0.5, **options})
    return Descent(loss.terms, optimizer, 2, compile=compile), optimizer


@pytest.mark.parametrize("max_norm", [None, 0.5, 1e6])
def test_compiled_it_is_the_optimisers_own_step(max_norm):
    plain, traced = Squares(b=0.5), Squares(b=0.5)
    (ours, mine), (theirs, its) = (
        descent_of(loss, compile=compile, max_grad_norm=max_norm, betas=(0.8, 0.95), eps=1e-5)
        for loss, compile in ((traced, True), (plain, False))
    )
    torch._dynamo.utils.counters.clear()
    for step in range(8):
        x = torch.linspace(0.5, 2.0 + step, 3)
        mine.lr = its.lr = 0.1 / (step + 1)  # a schedule
        (terms, norm), (expected, other) = ours(x), theirs(x)
        torch.testing.assert_close((terms, norm), (expected, other))
        assert not any(term.requires_grad for term in terms)
        torch.testing.assert_close(traced.weight, plain.weight)
    assert mine.state_dict()["count"] == its.state_dict()["count"] == 8
    for key in ("first_moment", "second_moment"):
        torch.testing.assert_close(mine.state_dict()[key], its.state_dict()[key])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # the schedule compiles nothing anew


@pytest.mark.parametrize("compile", [False, True])
def test_a_step_that_is_not_finite_changes_nothing_and_is_told(compile):
    loss = Squares()
    descent, optimizer = descent_of(loss, compile=compile)
    descent(torch.ones(3))
    descent(torch.ones(3))
    before, state = loss.weight.clone(), optimizer.state_dict()
    descent(torch.tensor([1.0, torch.nan, 1.0]))
    descent(torch.tensor([1.0, 1e30, 1.0]))  # its square is infinite
    assert torch.equal(loss.weight, before)
    assert all(
        torch.equal(torch.as_tensor(x), torch.as_tensor(state[key])) for key, x in optimizer.state_dict().items()
    )
    with pytest.raises(NonFiniteError, match="2 of the last 4 optimiser steps"):
        optimizer.check()
    descent(torch.ones(3))
    optimizer.check()
    assert not torch.equal(loss.weight, before)


@pytest.mark.parametrize("compile", [False, True])
def test_a_parameter_that_nothing_depends_on_is_refused(compile):
    loss = Squares()
    loss.forgotten = nn.Linear(2, 2)
    descent, _ = descent_of(loss, compile=compile)
    with pytest.raises(UsageError, match=r"no gradient for 'forgotten\.weight', 'forgotten\.bias'"):
        descent(torch.ones(3))


def test_a_setting_that_changes_is_seen_by_what_is_compiled():
    # At w = (1, -2, 3) and x = 1 the squares are 14 in all, and the absolute values 6.
    loss, found = Squares(2.0, 1.0), []
    descent, _ = descent_of(loss, lr=0.0)
    for a, b, squares in ((2.0, 1.0, True),) * 2 + ((4.0, 1.0, True), (4.0, None, True), (4.0, None, False)):
        loss.a, loss.b, loss.squares = a, b, squares
        (first, second, _), _ = descent(torch.ones(3))
        found.append((first.item(), None if second is None else second.item()))
    assert found == [(28.0, 14.0), (28.0, 14.0), (56.0, 14.0), (56.0, None), (24.0, None)]


def test_one_loss_is_not_computed_by_what_was_compiled_for_another():
    found = []
    for kind in (Squares, Halved):
        descent, _ = descent_of(kind(), lr=0.0)
        found.append([descent(torch.ones(3))[0][0].item() for _ in range(2)])
    assert found == [[14.0, 14.0], [1.0, 1.0]]


def test_compiled_it_draws_what_it_draws_without():
    class Noisy(Squares):
        def terms(self, x):
            return super().terms(x + torch.randn_like(x))

    drawn = []
    for compile in (False, True):
        descent, _ = descent_of(Noisy(), compile=compile, lr=0.0)
        torch.manual_seed(0)
        drawn.append([descent(torch.ones(3))[0][2].item() for _ in range(3)])
    assert drawn[0] == pytest.approx(drawn[1])
