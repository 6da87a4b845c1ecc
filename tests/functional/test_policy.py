from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from keywork._errors import SpecError
from keywork.functional import approximate_kl, clip_fraction, clipped_surrogate, policy_gradient


def test_policy_gradient_by_hand():
    log_prob = torch.tensor([-1.0, -2.0], requires_grad=True)
    advantage = torch.tensor([3.0, -1.0], requires_grad=True)
    objective = policy_gradient(log_prob, advantage)
    assert objective.tolist() == [-3.0, 2.0]
    objective.sum().backward()
    assert log_prob.grad.tolist() == [3.0, -1.0]  # d(log π · A)/d(log π) = A
    assert advantage.grad is None


def test_clipped_surrogate_by_hand():
    # ratio 2, A = 1:    min(2, 1.2) = 1.2      ratio 2, A = -1:    min(-2, -1.2) = -2
    # ratio 1/2, A = 1:  min(.5, .8) = .5       ratio 1/2, A = -1:  min(-.5, -.8) = -.8
    ratio = torch.tensor([2.0, 2.0, 0.5, 0.5], dtype=torch.float64)
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    old = torch.tensor([-1.0, -2.0, -3.0, -4.0], dtype=torch.float64)
    result = clipped_surrogate(old + ratio.log(), old, advantage, clip_epsilon=0.2)
    torch.testing.assert_close(result.objective, torch.tensor([1.2, -2.0, 0.5, -0.8], dtype=torch.float64))
    torch.testing.assert_close(result.ratio, ratio)
    torch.testing.assert_close(result.log_ratio, ratio.log())


@settings(max_examples=100, deadline=None)
@given(
    log_ratio=st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=20),
    epsilon=st.floats(0.01, 0.9),
    seed=st.integers(0, 1000),
)
def test_value_and_gradient_are_those_of_the_definition(log_ratio, epsilon, seed):
    log_prob = torch.tensor(log_ratio, dtype=torch.float64, requires_grad=True)
    old = torch.randn(len(log_ratio), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    advantage = old.roll(1)
    ours = clipped_surrogate(log_prob + old, old, advantage, clip_epsilon=epsilon).objective
    ratio = log_prob.exp()
    clipped = ratio.clamp(1.0 - epsilon, 1.0 + epsilon)
    theirs = torch.minimum(ratio * advantage, clipped * advantage)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    gradients = [torch.autograd.grad(x.sum(), log_prob, retain_graph=True)[0] for x in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_the_old_policy_and_the_advantage_are_constants():
    log_prob, old, advantage = (torch.zeros(3, requires_grad=True) for _ in range(3))
    clipped_surrogate(log_prob, old, advantage, clip_epsilon=0.2).objective.sum().backward()
    assert log_prob.grad is not None and old.grad is None and advantage.grad is None


def test_gradcheck():
    log_prob = torch.tensor([0.1, -0.3, 0.5, -0.7], dtype=torch.float64, requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, 2.0, -2.0], dtype=torch.float64)
    old = torch.zeros(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: clipped_surrogate(x, old, advantage, clip_epsilon=0.2).objective, (log_prob,)
    )


def test_clip_fraction_by_hand():
    # 1.3 and 0.7 are further than 0.2 from 1: 2 of 5.
    ratio = torch.tensor([1.3, 0.7, 1.1, 0.9, 1.0], requires_grad=True)
    share = clip_fraction(ratio, clip_epsilon=0.2)
    assert share.item() == pytest.approx(0.4)
    assert not share.requires_grad
    assert ratio.tolist() == pytest.approx([1.3, 0.7, 1.1, 0.9, 1.0])


def test_approximate_kl_by_hand():
    # (e - 1 - 1) = .71828 and (1/e - 1 + 1) = .36788: their mean is .54308
    log_ratio = torch.tensor([1.0, -1.0], requires_grad=True)
    kl = approximate_kl(log_ratio)
    assert kl.item() == pytest.approx(0.54308, abs=1e-5)
    assert not kl.requires_grad


def test_approximate_kl_of_two_normals():
    # KL(N(0,1) || N(m,1)) = m² / 2 = .02 for m = .2; the log-ratio at x is m x - m² / 2.
    x = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    assert approximate_kl(0.2 * x - 0.02).item() == pytest.approx(0.02, rel=0.02)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-10.0, 3.0), min_size=1, max_size=20))
def test_approximate_kl_is_never_negative(log_ratio):
    assert approximate_kl(torch.tensor(log_ratio)).item() >= 0.0


def test_vmap_and_compile():
    x, old, advantage = (torch.randn(3, 5, generator=torch.Generator().manual_seed(i)) for i in range(3))

    def compute(x, old, advantage):
        objective, ratio, log_ratio = clipped_surrogate(x, old, advantage, clip_epsilon=0.2)
        return objective, clip_fraction(ratio, clip_epsilon=0.2), approximate_kl(log_ratio)

    objective, share, kl = torch.vmap(compute)(x, old, advantage)
    whole = compute(x, old, advantage)
    torch.testing.assert_close((objective, share.mean(), kl.mean()), whole)
    torch.testing.assert_close(torch.compile(compute, fullgraph=True, backend="eager")(x, old, advantage), whole)


def test_log_probs_of_a_batch_do_not_meet_advantages_with_a_trailing_one():
    with pytest.raises(SpecError, match=r"got log_prob_t \[4\], advantage_t \[4, 1\]"):
        policy_gradient(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(SpecError, match=r"got log_prob_t \[4\], old_log_prob_t \[4\], advantage_t \[4, 1\]"):
        clipped_surrogate(torch.zeros(4), torch.zeros(4), torch.zeros(4, 1), clip_epsilon=0.2)


@pytest.mark.parametrize("epsilon", [0.0, -0.2, float("nan")])
def test_clip_epsilon_is_positive(epsilon):
    with pytest.raises(SpecError) as error:
        clipped_surrogate(torch.zeros(4), torch.zeros(4), torch.zeros(4), clip_epsilon=epsilon)
    assert str(error.value) == (
        "clipped_surrogate cannot be computed: clip_epsilon is out of range. "
        f"It takes clip_epsilon > 0; got {epsilon}. The paper's choice is 0.2."
    )


def test_a_mask_leaves_samples_out():
    ratio = torch.tensor([0.7, torch.nan, 1.0, 1.3])
    mask = torch.tensor([True, False, True, True])
    assert clip_fraction(ratio, mask, clip_epsilon=0.2).item() == pytest.approx(2 / 3)
    torch.testing.assert_close(approximate_kl(ratio.log(), mask), approximate_kl(ratio[mask].log()))
