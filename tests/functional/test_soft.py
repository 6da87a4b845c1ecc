from __future__ import annotations

import math

import pytest
import torch

from keywork._errors import SpecError
from keywork.functional import expected_soft_value, soft_policy_loss, soft_value, td0_target, temperature_loss


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def check(compute, inputs, differentiable):
    """vmap, one graph, and gradients in the first inputs."""
    want = compute(*inputs)
    torch.testing.assert_close(torch.vmap(compute)(*inputs), want)
    torch.testing.assert_close(torch.compile(compute, fullgraph=True, backend="eager")(*inputs), want)
    leaves = tuple(x.clone().requires_grad_() for x in inputs[:differentiable])
    assert torch.autograd.gradcheck(lambda *x: compute(*x, *inputs[differentiable:]), leaves)


class TestSoftValue:
    def test_by_hand(self):
        # 1 - .5 * -2 = 2; 3 - .5 * 4 = 1
        q, log_prob = torch.tensor([[1.0], [3.0]]), torch.tensor([[-2.0], [4.0]])
        v = soft_value(q, log_prob, alpha=0.5)
        assert v.tolist() == [[2.0], [1.0]]
        # and the critic's target: 1 + .5 * 2 = 2; terminated: 1
        target = td0_target(torch.ones(2, 1), v, torch.tensor([[False], [True]]), gamma=0.5)
        assert target.tolist() == [[2.0], [1.0]]

    def test_transforms(self):
        check(lambda q, p: soft_value(q, p, alpha=0.3), (numbers(4), numbers(4, seed=1)), 2)

    def test_log_probabilities_want_their_trailing_one(self):
        with pytest.raises(SpecError, match=r"soft_value .* got q \[3, 1\], log_prob \[3\]"):
            soft_value(torch.zeros(3, 1), torch.zeros(3), alpha=0.5)


class TestExpectedSoftValue:
    def test_by_hand(self):
        # .25 (4 + 2 log 2) + .75 (8 - log .75), alpha = 1
        v = expected_soft_value(torch.tensor([[4.0, 8.0]]), torch.tensor([[0.25, 0.75]]).log(), alpha=1.0)
        assert v.item() == pytest.approx(0.25 * (4 + 2 * math.log(2)) + 0.75 * (8 - math.log(0.75)))
        assert v.shape == (1, 1)

    def test_it_is_the_mean_of_the_soft_value(self):
        q, log_p = numbers(5, 3), numbers(5, 3, seed=1).log_softmax(-1)
        alpha = torch.tensor(0.7)
        want = sum(log_p[:, [a]].exp() * soft_value(q[:, [a]], log_p[:, [a]], alpha=alpha) for a in range(3))
        torch.testing.assert_close(expected_soft_value(q, log_p, alpha=alpha), want)

    def test_the_boltzmann_policy_reaches_the_log_sum(self):
        # Of all policies, softmax(q / alpha) has the greatest value: alpha log sum exp(q / alpha).
        q = numbers(5, 3)
        best = expected_soft_value(q, (q / 0.5).log_softmax(-1), alpha=0.5)
        torch.testing.assert_close(best, 0.5 * (q / 0.5).logsumexp(-1, keepdim=True))
        assert (expected_soft_value(q, numbers(5, 3, seed=1).log_softmax(-1), alpha=0.5) < best).all()

    def test_a_masked_action_adds_nothing_and_has_no_gradient(self):
        q = torch.tensor([[2.0, 9.0]], requires_grad=True)
        logits = torch.tensor([[1.0, -torch.inf]], requires_grad=True)
        v = expected_soft_value(q, logits.log_softmax(-1), alpha=1.0)
        v.backward()
        assert v.item() == 2.0
        assert q.grad.tolist() == [[1.0, 0.0]] and logits.grad.isfinite().all()

    def test_transforms(self):
        check(lambda q, p: expected_soft_value(q, p.log_softmax(-1), alpha=0.3), (numbers(4, 3), numbers(4, 3)), 2)


class TestSoftPolicyLoss:
    def test_by_hand(self):
        assert soft_policy_loss(torch.tensor([-2.0]), torch.tensor([1.0]), alpha=0.5).tolist() == [-2.0]  # .5 * -2 - 1

    def test_it_is_minus_the_soft_value(self):
        q, p = numbers(4), numbers(4, seed=1)
        torch.testing.assert_close(soft_policy_loss(p, q, alpha=0.3), -soft_value(q, p, alpha=0.3))

    def test_the_temperature_is_a_constant(self):
        alpha = torch.tensor(0.5, requires_grad=True)
        assert not soft_policy_loss(torch.zeros(2), torch.zeros(2), alpha=alpha).requires_grad

    def test_transforms(self):
        check(lambda p, q: soft_policy_loss(p, q, alpha=0.3), (numbers(4), numbers(4, seed=1)), 2)

    def test_shapes(self):
        with pytest.raises(SpecError, match=r"got log_prob \[3\], q \[3, 1\]"):
            soft_policy_loss(torch.zeros(3), torch.zeros(3, 1), alpha=0.5)


class TestTemperatureLoss:
    def test_by_hand(self):
        # alpha = 2: -2 (-3 + 1) = 4; -2 (2 + 1) = -6
        loss = temperature_loss(torch.tensor(2.0).log(), torch.tensor([-3.0, 2.0]), target_entropy=1.0)
        torch.testing.assert_close(loss, torch.tensor([4.0, -6.0]))

    @pytest.mark.parametrize(("log_prob", "sign"), [(3.0, -1.0), (1.0, 1.0)])
    def test_too_little_entropy_raises_the_temperature(self, log_prob, sign):
        # The target is -2: an entropy of -3 is below it, one of -1 above.
        log_alpha = torch.zeros((), requires_grad=True)
        policy = torch.full((2,), log_prob, requires_grad=True)
        temperature_loss(log_alpha, policy, target_entropy=-2.0).mean().backward()
        assert log_alpha.grad.item() == sign and policy.grad is None  # d/d log alpha = -alpha (log_prob - 2)

    def test_transforms(self):
        check(lambda a, p: temperature_loss(a, p, target_entropy=-1.0), (numbers(4), numbers(4, seed=1)), 1)
