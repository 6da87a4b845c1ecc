from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from keywork._errors import SpecError
from keywork.functional import advantage_weighted, conservative_penalty, expectile_loss, policy_gradient, value_loss


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def check(compute, inputs, differentiable):
    """vmap, one graph, and gradients in the first inputs."""
    want = compute(*inputs)
    torch.testing.assert_close(torch.vmap(compute)(*inputs), want)
    torch.testing.assert_close(torch.compile(compute, fullgraph=True, backend="eager")(*inputs), want)
    leaves = tuple(x.clone().requires_grad_() for x in inputs[:differentiable])
    assert torch.autograd.gradcheck(lambda *x: compute(*x, *inputs[differentiable:]), leaves)


class TestConservativePenalty:
    def test_by_hand(self):
        # log(1 + 3) - log 3; log(2 + 2) - log 2
        q = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).log()
        got = conservative_penalty(q, q[:, 1:])
        torch.testing.assert_close(got, torch.tensor([[math.log(4 / 3)], [math.log(2)]]))

    def test_drawn_by_hand(self):
        # Two actions of density 1/2 and 2: log of the mean of 1 / .5 and 6 / 2 is log 2.5; minus log 5.
        q, taken = torch.tensor([[1.0, 6.0]]).log(), torch.tensor([[5.0]]).log()
        got = conservative_penalty(q, taken, log_prob=torch.tensor([[0.5, 2.0]]).log())
        torch.testing.assert_close(got, torch.tensor([[math.log(0.5)]]))

    def test_equals_the_loop(self):
        q, taken, log_prob = numbers(3, 4), numbers(3, 1, seed=1), numbers(3, 4, seed=2)
        listed, drawn = conservative_penalty(q, taken), conservative_penalty(q, taken, log_prob=log_prob)
        for i in range(3):
            total = math.log(sum(math.exp(x) for x in q[i].tolist()))
            mean = math.log(sum(math.exp(x - p) for x, p in zip(q[i].tolist(), log_prob[i].tolist(), strict=True)) / 4)
            assert listed[i].item() == pytest.approx(total - taken[i].item())
            assert drawn[i].item() == pytest.approx(mean - taken[i].item())

    def test_every_choice_drawn_evenly_is_all_of_them(self):
        # mu = 1/4 for each of the four choices: (1/4) sum exp(q) / (1/4)
        q, taken = numbers(3, 4), numbers(3, 1, seed=1)
        even = torch.full_like(q, math.log(1 / 4))
        torch.testing.assert_close(conservative_penalty(q, taken, log_prob=even), conservative_penalty(q, taken))

    def test_transforms(self):
        check(conservative_penalty, (numbers(3, 4), numbers(3, 1, seed=1)), 2)
        check(lambda q, t, p: conservative_penalty(q, t, log_prob=p), (numbers(3, 4), numbers(3, 1), numbers(3, 4)), 2)

    def test_the_density_is_a_constant(self):
        log_prob = torch.zeros(2, 3, requires_grad=True)
        assert not conservative_penalty(torch.zeros(2, 3), torch.zeros(2, 1), log_prob=log_prob).requires_grad

    def test_refusals(self):
        with pytest.raises(
            SpecError, match=r"It takes q \[\*B, n\] and q_taken \[\*B, 1\]; got q \[2, 3\], q_taken \[2\]"
        ):
            conservative_penalty(torch.zeros(2, 3), torch.zeros(2))
        with pytest.raises(SpecError, match=r"got q \[2, 3\], log_prob \[2, 1\]"):
            conservative_penalty(torch.zeros(2, 3), torch.zeros(2, 1), log_prob=torch.zeros(2, 1))


class TestExpectileLoss:
    def test_by_hand(self):
        # u = 2: .75 * 4 = 3; u = -2: .25 * 4 = 1; u = 0: 0
        value, target = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([3.0, 1.0, 5.0])
        assert expectile_loss(value, target, expectile=0.75).tolist() == [3.0, 1.0, 0.0]

    def test_half_is_half_the_squared_error(self):
        value, target = numbers(5), numbers(5, seed=1)
        torch.testing.assert_close(expectile_loss(value, target, expectile=0.5), value_loss(value, target) / 2)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 1000), st.floats(0.01, 0.99))
    def test_equals_the_loop(self, seed, expectile):
        value, target = numbers(6, seed=seed), numbers(6, seed=seed + 1)
        got = expectile_loss(value, target, expectile=expectile)
        for v, t, g in zip(value.tolist(), target.tolist(), got.tolist(), strict=True):
            assert g == pytest.approx((expectile if t - v >= 0 else 1 - expectile) * (t - v) ** 2)

    def test_its_minimum_is_the_expectile(self):
        # Of 0 and 1 the expectile at tau is tau itself: tau (1 - v) = (1 - tau) v.
        value = torch.full((2,), 0.8, dtype=torch.float64, requires_grad=True)
        expectile_loss(value, torch.tensor([0.0, 1.0]).double(), expectile=0.8).sum().backward()
        assert value.grad.sum().item() == pytest.approx(0.0, abs=1e-12)

    def test_transforms(self):
        check(lambda v, t: expectile_loss(v, t, expectile=0.7), (numbers(4), numbers(4, seed=1)), 1)
        assert not expectile_loss(numbers(4), numbers(4).requires_grad_(), expectile=0.7).requires_grad

    @pytest.mark.parametrize("expectile", [0.0, 1.0, float("nan")])
    def test_range(self, expectile):
        with pytest.raises(SpecError) as error:
            expectile_loss(torch.zeros(2), torch.zeros(2), expectile=expectile)
        assert str(error.value) == (
            "expectile_loss cannot be computed: expectile is out of range. It takes a number in (0, 1); "
            f"got {expectile}. Pass expectile=0.7, for example."
        )


class TestAdvantageWeighted:
    def test_by_hand(self):
        # exp(2 * log 3) = 9, times -2; exp(2 * -log 2) = 1/4, times -1; exp(2 * 9) is cut to 10, times -.5
        log_prob, advantage = torch.tensor([-2.0, -1.0, -0.5]), torch.tensor([math.log(3), -math.log(2), 9.0])
        got = advantage_weighted(log_prob, advantage, beta=2.0, max_weight=10.0)
        torch.testing.assert_close(got, torch.tensor([-18.0, -0.25, -5.0]))

    def test_a_huge_advantage_has_the_greatest_weight(self):
        assert advantage_weighted(torch.tensor([-1.0]), torch.tensor([1e4]), beta=3.0).tolist() == [-100.0]

    def test_it_is_the_policy_gradient_of_its_weight(self):
        log_prob, advantage = numbers(4), numbers(4, seed=1)
        want = policy_gradient(log_prob, (3.0 * advantage).exp().clamp(max=100.0))
        torch.testing.assert_close(advantage_weighted(log_prob, advantage, beta=3.0), want)

    def test_transforms(self):
        check(lambda p, a: advantage_weighted(p, a, beta=3.0), (numbers(4), numbers(4, seed=1)), 1)
        assert not advantage_weighted(numbers(4), numbers(4).requires_grad_(), beta=3.0).requires_grad

    @pytest.mark.parametrize("bad", [{"beta": 0.0}, {"beta": 1.0, "max_weight": -1.0}])
    def test_range(self, bad):
        with pytest.raises(SpecError, match=r"is out of range\. It takes a number above zero"):
            advantage_weighted(torch.zeros(2), torch.zeros(2), **bad)
