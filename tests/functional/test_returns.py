from __future__ import annotations

from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from keywork._errors import SpecError
from keywork.functional import discounted_return, generalized_advantage, lambda_return, normalize, td0_target


@dataclass
class Experience:
    """Rows of experience [B, T, 1] with cuts of both kinds; v_tp1 is v_t shifted, but for the cuts and the end."""

    reward_t: torch.Tensor
    v_t: torch.Tensor
    v_tp1: torch.Tensor
    terminated_t: torch.Tensor
    done_t: torch.Tensor

    @classmethod
    def random(cls, rows: int, length: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Experience:
        g = torch.Generator().manual_seed(seed)
        shape = (rows, length, 1)
        terminated = torch.rand(shape, generator=g) < 0.15
        truncated = torch.rand(shape, generator=g) < 0.15
        done = terminated | truncated
        v_t = torch.randn(shape, generator=g, dtype=dtype)
        final = torch.randn(shape, generator=g, dtype=dtype)
        v_tp1 = torch.where(done, final, torch.cat([v_t[:, 1:], final[:, -1:]], 1))
        return cls(torch.randn(shape, generator=g, dtype=dtype), v_t, v_tp1, terminated, done)

    @property
    def without_v(self):
        return self.reward_t, self.v_tp1, self.terminated_t, self.done_t

    @property
    def whole(self):
        return self.reward_t, self.v_t, self.v_tp1, self.terminated_t, self.done_t


def loop_gae(e: Experience, gamma: float, lmbda: float) -> torch.Tensor:
    advantage = torch.zeros_like(e.reward_t, dtype=torch.float64)
    for i in range(advantage.shape[0]):
        following = 0.0
        for t in reversed(range(advantage.shape[1])):
            r, v, v_next, terminated, done = (float(x[i, t]) for x in e.whole)
            delta = r + gamma * (1.0 - terminated) * v_next - v
            following = delta + gamma * lmbda * (1.0 - done) * following
            advantage[i, t] = following
    return advantage


def loop_lambda_return(e: Experience, gamma: float, lmbda: float) -> torch.Tensor:
    """Literally the definition: at a cut, or where the batch ends, the next return is the value of what follows."""
    target = torch.zeros_like(e.reward_t, dtype=torch.float64)
    for i in range(target.shape[0]):
        following = float(e.v_tp1[i, -1])
        for t in reversed(range(target.shape[1])):
            r, v_next, terminated, done = (float(x[i, t]) for x in e.without_v)
            following = v_next if done else following
            following = r + gamma * (1.0 - terminated) * ((1.0 - lmbda) * v_next + lmbda * following)
            target[i, t] = following
    return target


coefficient = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
experiences = st.builds(Experience.random, st.integers(1, 4), st.integers(1, 40), seed=st.integers(0, 10_000))
laws = settings(max_examples=60, deadline=None)


def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


class TestByHand:
    # One row: transition 0 goes on, 1 is truncated, 2 terminates, 3 is cut by the end of the batch.
    r = torch.tensor([1.0, 2.0, 3.0, 4.0])
    v = torch.tensor([10.0, 20.0, 30.0, 40.0])
    v1 = torch.tensor([20.0, 50.0, 60.0, 70.0])
    terminated = torch.tensor([False, False, True, False])
    done = torch.tensor([False, True, True, False])

    def test_td0_target(self):
        # 1 + .5 * 20 = 11; 2 + .5 * 50 = 27 (bootstrapped through the truncation); 3 (terminated); 4 + .5 * 70 = 39
        assert td0_target(self.r, self.v1, self.terminated, gamma=0.5).tolist() == [11.0, 27.0, 3.0, 39.0]

    def test_td0_target_with_a_discount_for_each_transition(self):
        # 1 + .5 * 20 = 11; 2 + .25 * 50 = 14.5; 3 (terminated); 4 + 0 * 70 = 4
        gamma = torch.tensor([0.5, 0.25, 0.5, 0.0])
        assert td0_target(self.r, self.v1, self.terminated, gamma=gamma).tolist() == [11.0, 14.5, 3.0, 4.0]
        with pytest.raises(SpecError, match=r"got reward_t \[4\], gamma \[1\]"):
            td0_target(self.r, self.v1, self.terminated, gamma=gamma[:1])

    def test_discounted_return(self):
        # 4; 3 (done); 2 (done); 1 + .5 * 2 = 2
        assert discounted_return(self.r, self.done, gamma=0.5, time_dim=-1).tolist() == [2.0, 2.0, 3.0, 4.0]

    def test_generalized_advantage(self):
        # deltas: 11 - 10 = 1; 27 - 20 = 7; 3 - 30 = -27; 39 - 40 = -1; the carry is .5 * .5 = .25 at index 0 only:
        # A3 = -1; A2 = -27; A1 = 7; A0 = 1 + .25 * 7 = 2.75
        advantage, target = generalized_advantage(
            self.r, self.v, self.v1, self.terminated, self.done, gamma=0.5, lmbda=0.5, time_dim=-1
        )
        assert advantage.tolist() == [2.75, 7.0, -27.0, -1.0]
        assert target.tolist() == [12.75, 27.0, 3.0, 39.0]  # A + v

    def test_lambda_return(self):
        # G3 = 39; G2 = 3; G1 = 27; G0 = 1 + .5 * (.5 * 20 + .5 * 27) = 12.75
        target = lambda_return(self.r, self.v1, self.terminated, self.done, gamma=0.5, lmbda=0.5, time_dim=-1)
        assert target.tolist() == [12.75, 27.0, 3.0, 39.0]

    def test_an_unfinished_row_carries_to_its_end(self):
        # gamma = lambda = 1, no cuts: A_t is the sum of the rewards that follow, plus the last value, minus v_t:
        # A2 = 3 + 7 - 0; A1 = 5 + 7 - 0; A0 = 6 + 7 - 0
        no = torch.zeros(3, dtype=torch.bool)
        advantage, _ = generalized_advantage(
            torch.tensor([1.0, 2.0, 3.0]),
            torch.zeros(3),
            torch.tensor([0.0, 0.0, 7.0]),
            no,
            no,
            gamma=1.0,
            lmbda=1.0,
            time_dim=-1,
        )
        assert advantage.tolist() == [13.0, 12.0, 10.0]


class TestAgainstTheLoop:
    @laws
    @given(experiences, coefficient, coefficient)
    def test_generalized_advantage(self, e, gamma, lmbda):
        advantage, target = generalized_advantage(*e.whole, gamma=gamma, lmbda=lmbda)
        assert_close(advantage, loop_gae(e, gamma, lmbda))
        assert_close(target, advantage + e.v_t)

    @laws
    @given(experiences, coefficient, coefficient)
    def test_lambda_return(self, e, gamma, lmbda):
        assert_close(lambda_return(*e.without_v, gamma=gamma, lmbda=lmbda), loop_lambda_return(e, gamma, lmbda))

    def test_float32(self):
        e = Experience.random(8, 128, dtype=torch.float32)
        advantage, target = generalized_advantage(*e.whole, gamma=0.99, lmbda=0.95)
        assert advantage.dtype is target.dtype is torch.float32
        torch.testing.assert_close(advantage.double(), loop_gae(e, 0.99, 0.95), rtol=1e-5, atol=1e-5)


class TestIdentities:
    @laws
    @given(experiences, coefficient)
    def test_without_traces_the_advantage_is_the_td_error(self, e, gamma):
        advantage, _ = generalized_advantage(*e.whole, gamma=gamma, lmbda=0.0)
        assert_close(advantage, td0_target(e.reward_t, e.v_tp1, e.terminated_t, gamma=gamma) - e.v_t)

    @laws
    @given(experiences, coefficient)
    def test_with_full_traces_it_is_the_return_minus_the_value(self, e, gamma):
        # Monte Carlo: put what is expected after each cut into the last reward, and sum.
        end = e.done_t.clone()
        end[:, -1] = True
        expected_after = gamma * e.v_tp1 * (end & ~e.terminated_t)
        monte_carlo = discounted_return(e.reward_t + expected_after, e.done_t, gamma=gamma)
        advantage, target = generalized_advantage(*e.whole, gamma=gamma, lmbda=1.0)
        assert_close(target, monte_carlo)
        assert_close(advantage, monte_carlo - e.v_t)
        assert_close(lambda_return(*e.without_v, gamma=gamma, lmbda=1.0), monte_carlo)

    @laws
    @given(experiences, coefficient, coefficient)
    def test_the_value_target_is_the_lambda_return(self, e, gamma, lmbda):
        _, target = generalized_advantage(*e.whole, gamma=gamma, lmbda=lmbda)
        assert_close(target, lambda_return(*e.without_v, gamma=gamma, lmbda=lmbda))

    @laws
    @given(experiences, coefficient)
    def test_lambda_zero_is_td0(self, e, gamma):
        assert_close(
            lambda_return(*e.without_v, gamma=gamma, lmbda=0.0),
            td0_target(e.reward_t, e.v_tp1, e.terminated_t, gamma=gamma),
        )

    @laws
    @given(st.integers(1, 39), coefficient, coefficient)
    def test_nothing_crosses_a_cut(self, cut, gamma, lmbda):
        e = Experience.random(2, 40, seed=cut)
        e.done_t[:, cut - 1] = True
        first, _ = generalized_advantage(*(x[:, :cut] for x in e.whole), gamma=gamma, lmbda=lmbda)
        second, _ = generalized_advantage(*(x[:, cut:] for x in e.whole), gamma=gamma, lmbda=lmbda)
        advantage, _ = generalized_advantage(*e.whole, gamma=gamma, lmbda=lmbda)
        assert_close(advantage, torch.cat([first, second], 1))

    def test_a_truncated_value_counts_and_a_terminated_one_does_not(self):
        e = Experience.random(1, 1)
        e.done_t[:] = True
        for terminated, weight in ((True, 0.0), (False, 0.9)):
            e.terminated_t[:] = terminated
            _, target = generalized_advantage(*e.whole, gamma=0.9, lmbda=0.95)
            assert_close(target, e.reward_t + weight * e.v_tp1)


class TestTransforms:
    e = Experience.random(3, 6, seed=3)

    def compute(self, r, v, v1):
        return generalized_advantage(r, v, v1, self.e.terminated_t, self.e.done_t, gamma=0.9, lmbda=0.8)

    def test_gradcheck(self):
        inputs = tuple(x.clone().requires_grad_() for x in (self.e.reward_t, self.e.v_t, self.e.v_tp1))
        assert torch.autograd.gradcheck(self.compute, inputs)
        r, _, v1 = inputs
        assert torch.autograd.gradcheck(
            lambda r, v1: lambda_return(r, v1, self.e.terminated_t, self.e.done_t, gamma=0.9, lmbda=0.8), (r, v1)
        )

    @pytest.mark.parametrize("compute", [generalized_advantage, lambda_return])
    def test_vmap(self, compute):
        inputs = self.e.whole if compute is generalized_advantage else self.e.without_v
        row = torch.vmap(lambda *x: compute(*x, gamma=0.9, lmbda=0.8))(*inputs)
        torch.testing.assert_close(row, compute(*inputs, gamma=0.9, lmbda=0.8))

    @pytest.mark.parametrize("compute", [generalized_advantage, lambda_return])
    def test_compiles_as_one_graph(self, compute):
        inputs = self.e.whole if compute is generalized_advantage else self.e.without_v
        compiled = torch.compile(compute, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(*inputs, gamma=0.9, lmbda=0.8), compute(*inputs, gamma=0.9, lmbda=0.8))

    def test_time_can_be_any_axis(self):
        want, _ = generalized_advantage(*self.e.whole, gamma=0.9, lmbda=0.8)
        flat, _ = generalized_advantage(*(x[..., 0] for x in self.e.whole), gamma=0.9, lmbda=0.8, time_dim=-1)
        first, _ = generalized_advantage(*(x[..., 0].t() for x in self.e.whole), gamma=0.9, lmbda=0.8, time_dim=0)
        assert_close(flat, want[..., 0])
        assert_close(first.t(), want[..., 0])

    def test_the_result_goes_straight_into_normalize(self):
        advantage, _ = generalized_advantage(*self.e.whole, gamma=0.9, lmbda=0.8)
        assert normalize(advantage).std(correction=0) == pytest.approx(1.0)


class TestRefusals:
    ones, no = torch.ones(2, 3, 1), torch.zeros(2, 3, 1, dtype=torch.bool)

    def test_shapes(self):
        with pytest.raises(SpecError) as error:
            td0_target(self.ones, self.ones[..., 0], self.no, gamma=0.9)
        assert str(error.value) == (
            "td0_target cannot be computed: its tensors differ in shape. It takes reward_t, v_tp1, terminated_t of one "
            "shape; got reward_t [2, 3, 1], v_tp1 [2, 3], terminated_t [2, 3, 1]. "
            "A trailing dimension of one is added with .unsqueeze(-1) and removed with .squeeze(-1)."
        )

    def test_masks(self):
        with pytest.raises(SpecError) as error:
            discounted_return(self.ones, self.ones, gamma=0.9)
        assert str(error.value) == (
            "discounted_return cannot be computed: done_t is no mask. It takes a tensor of torch.bool; got "
            "torch.float32. Pass done_t.bool()."
        )

    @pytest.mark.parametrize("gamma", [1.5, -0.1, float("nan")])
    def test_coefficients(self, gamma):
        with pytest.raises(SpecError) as error:
            lambda_return(self.ones, self.ones, self.no, self.no, gamma=gamma, lmbda=0.9)
        assert str(error.value) == (
            "lambda_return cannot be computed: gamma is out of range. It takes a number in [0, 1]; "
            f"got {gamma}. Pass gamma=0.99, for example."
        )

    def test_the_default_axis_is_not_run_across_environments(self):
        flat = [x[..., 0] for x in (self.ones, self.ones, self.ones, self.no, self.no)]
        with pytest.raises(SpecError) as error:
            generalized_advantage(*flat, gamma=0.9, lmbda=0.9)
        assert str(error.value) == (
            "generalized_advantage cannot be computed: time_dim=-2 is no time axis of these tensors. It takes "
            "[*B, T, 1] with time_dim=-2; got [2, 3]. Pass time_dim=-1 for [*B, T], or count another axis from the "
            "front, such as time_dim=0 for [T, *B]."
        )

    def test_an_axis_that_is_not_there(self):
        with pytest.raises(SpecError, match="time_dim=3 is no time axis"):
            discounted_return(self.ones, self.no, gamma=0.9, time_dim=3)
