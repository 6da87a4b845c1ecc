from __future__ import annotations

import pytest
import torch
from torch import nn

from keywork._errors import UsageError
from keywork.modules import ValueOperator
from keywork.nn import TensorDictModuleBase
from keywork.train._compile import LossGradient, changing, tensor_function
from keywork.train._flat import FlatAdam, FlatParameters


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about torch
def test_compiled_it_computes_the_same():
    critic = ValueOperator(nn.Linear(3, 1))
    torch._dynamo.utils.counters.clear()
    run, x = tensor_function(critic, compile=True), torch.randn(4, 3)
    (value,) = run(x)
    torch.testing.assert_close(value, critic.module(x))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_otherwise_it_is_the_modules_own():
    critic = ValueOperator(nn.Linear(3, 1))
    assert tensor_function(critic, compile=False) == critic.run


def test_what_changes_is_a_tensor_only_for_what_is_compiled():
    assert changing(0.25, compile=False) == 0.25
    assert torch.equal(changing(0.25, compile=True), torch.tensor(0.25))


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


class TestLossGradient:
    @pytest.mark.parametrize("compile", [False, True])
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about torch
    def test_by_hand(self, compile, monkeypatch):
        # x = 3, y = 5. At w = 2: error 1, losses 1 and 2, slope 2 · 1 · 3 + 1. At w = 1: -2, 4 and 1, -2 · 2 · 3 + 1.
        traced = torch.compile
        monkeypatch.setattr(torch, "compile", lambda f, **more: traced(f, backend="eager", fullgraph=True, **more))
        torch._dynamo.utils.counters.clear()
        loss = Fit()
        flat = FlatParameters(loss)
        gradient_of = LossGradient(loss, flat, 2, compile=compile)
        inputs = torch.tensor([[3.0]]), torch.tensor([[5.0]]), None
        for weight, expected in ((2.0, ([1.0, 2.0, 1.0], 3.0, [7.0])), (1.0, ([4.0, 1.0, -2.0], 5.0, [-11.0]))) * 2:
            flat.vector.fill_(weight)
            terms, total, gradient = gradient_of(*inputs)
            assert ([term.item() for term in terms], total.item(), gradient.tolist()) == expected
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compile

    @pytest.mark.parametrize("compile", [False, True])
    def test_a_parameter_that_nothing_depends_on_is_refused(self, compile):
        loss = Fit()
        loss.forgotten = nn.Linear(2, 2)
        gradient_of = LossGradient(loss, FlatParameters(loss), 2, compile=compile)
        with pytest.raises(UsageError, match=r"no gradient for 'forgotten\.weight', 'forgotten\.bias'"):
            gradient_of(torch.ones(1, 1), torch.ones(1, 1), None)

    def test_the_optimiser_takes_it(self):
        plain, other = Fit(), Fit()
        ours, theirs = FlatAdam(plain, lr=0.1, max_grad_norm=0.5), FlatAdam(other, lr=0.1, max_grad_norm=0.5)
        gradient_of = LossGradient(other, theirs.flat, 2)
        inputs = torch.tensor([[3.0]]), torch.tensor([[5.0]]), None
        for _ in range(5):
            terms = plain.run(*inputs)
            norm = ours.step(terms[0] + terms[1])
            _, total, gradient = gradient_of(*inputs)
            assert torch.equal(theirs.descend(gradient, total), norm)
        assert torch.equal(plain.linear.weight, other.linear.weight)

    def test_what_is_shared_is_one_parameter(self):
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
        gradient_of, x = LossGradient(loss, flat, 1), torch.randn(5, 2)
        _, total, gradient = gradient_of(x)
        parameters = list(loss.parameters())
        (_, again, by_vector), doubled = gradient_of.of_vector(flat.vector, x), 2.0 * flat.vector
        torch.testing.assert_close((again, by_vector), (total, gradient))
        assert all(one is other for one, other in zip(parameters, loss.parameters(), strict=True))
        _, other, _ = gradient_of.of_vector(doubled, x)
        flat.vector.mul_(2.0)
        torch.testing.assert_close(other, loss.run(x)[0].detach())
