"""Returns and advantages of experience that is cut into episodes and batches.

One transition t leads from sₜ to sₜ₊₁. ``terminated_t``: the task ended there, so sₜ₊₁ is worth nothing.
``done_t``: the trajectory ended there, by termination or by a time limit (truncation), so index t+1 of the batch
belongs to another episode. The batch itself ends after its last transition, which need not end an episode. Where a
trajectory is cut without termination, what follows is estimated by ``v_tp1``, the value of the true sₜ₊₁.

All tensors of one call have one shape: [*B, T, 1] with the default ``time_dim=-2``, or any other with its
``time_dim``. Masks are of torch.bool. Every function is differentiable in its rewards and values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from keywork.functional._checks import require_fraction, require_mask, require_same_shape, require_time_axis
from keywork.functional._cuts import carry, cut_at_end, one_step, where_not
from keywork.functional._scan import reverse_linear_scan


def td0_target(reward_t: Tensor, v_tp1: Tensor, terminated_t: Tensor, *, gamma: float | Tensor) -> Tensor:
    """One-step target Gₜ = rₜ + γ (1 - terminatedₜ) vₜ₊₁   (Sutton 1988).

    The value decides the algorithm: V(sₜ₊₁) for a critic, ``greedy_value`` for Q-learning, ``double_q_value`` for
    double Q-learning, ``soft_value`` for SAC. For transitions of several steps, rₜ is the discounted sum of their
    rewards and γ a tensor of γᵏ, k the number of steps that each one took.

    Args:
        reward_t: rewards, of any shape.
        v_tp1: values of the states reached, of the same shape.
        terminated_t: where the task ended, of the same shape.
        gamma: discount γ in [0, 1], or one for each transition, of the same shape.

    Raises:
        SpecError: the shapes differ, the mask is no mask, or γ is out of range.

    >>> td0_target(torch.ones(2), torch.tensor([10.0, 10.0]), torch.tensor([False, True]), gamma=0.5)
    tensor([6., 1.])
    """
    name = "td0_target"
    require_same_shape(name, reward_t=reward_t, v_tp1=v_tp1, terminated_t=terminated_t)
    require_mask(name, terminated_t=terminated_t)
    if isinstance(gamma, Tensor):
        # The range of its numbers is not checked: on a GPU that would wait for them.
        require_same_shape(name, reward_t=reward_t, gamma=gamma)
        return torch.addcmul(reward_t, gamma * where_not(terminated_t, gamma.dtype), v_tp1)
    require_fraction(name, gamma=gamma)
    return one_step(reward_t, v_tp1, terminated_t, gamma)


def discounted_return(reward_t: Tensor, done_t: Tensor, *, gamma: float, time_dim: int = -2) -> Tensor:
    """Rewards to go Gₜ = rₜ + γ (1 - doneₜ) Gₜ₊₁, with nothing after a cut.

    Exact for episodes that terminate inside the batch. What a truncated episode, or one that goes on after the batch,
    would still have brought counts as zero: ``lambda_return`` with ``lmbda=1`` puts its estimate there instead.

    Args:
        reward_t: rewards [*B, T, 1].
        done_t: where a trajectory ended [*B, T, 1].
        gamma: discount γ in [0, 1].
        time_dim: the axis of time.

    Raises:
        SpecError: the shapes differ, the mask is no mask, γ is out of range, or there is no such axis.

    >>> discounted_return(torch.ones(4), torch.tensor([False, True, False, False]), gamma=0.5, time_dim=-1)
    tensor([1.5000, 1.0000, 1.5000, 1.0000])
    """
    name = "discounted_return"
    require_same_shape(name, reward_t=reward_t, done_t=done_t)
    require_mask(name, done_t=done_t)
    require_fraction(name, gamma=gamma)
    dim = require_time_axis(name, reward_t, time_dim)
    return reverse_linear_scan(carry(done_t, gamma, reward_t.dtype), reward_t, dim)


def lambda_return(
    reward_t: Tensor,
    v_tp1: Tensor,
    terminated_t: Tensor,
    done_t: Tensor,
    *,
    gamma: float,
    lmbda: float,
    time_dim: int = -2,
) -> Tensor:
    """TD(λ) target Gₜ = rₜ + γ (1 - terminatedₜ) [(1 - λ) vₜ₊₁ + λ Gₜ₊₁]   (Sutton & Barto 2018, 12.3).

    Where the trajectory or the batch is cut, Gₜ₊₁ is vₜ₊₁. With λ = 0 this is ``td0_target``; with λ = 1 it is the
    discounted return with a bootstrap at each cut. It equals the value target of ``generalized_advantage``
    wherever vₜ₊₁ inside a trajectory is the vₜ of the next index.

    Args:
        reward_t: rewards [*B, T, 1].
        v_tp1: values of the states reached [*B, T, 1].
        terminated_t: where the task ended [*B, T, 1].
        done_t: where a trajectory ended [*B, T, 1].
        gamma: discount γ in [0, 1].
        lmbda: trace decay λ in [0, 1].
        time_dim: the axis of time.

    Raises:
        SpecError: the shapes differ, a mask is no mask, γ or λ is out of range, or there is no such axis.

    >>> no = torch.tensor([False, False])
    >>> lambda_return(torch.ones(2), torch.tensor([4.0, 8.0]), no, no, gamma=0.5, lmbda=0.5, time_dim=-1)
    tensor([3.2500, 5.0000])
    """
    name = "lambda_return"
    require_same_shape(name, reward_t=reward_t, v_tp1=v_tp1, terminated_t=terminated_t, done_t=done_t)
    require_mask(name, terminated_t=terminated_t, done_t=done_t)
    require_fraction(name, gamma=gamma, lmbda=lmbda)
    dim = require_time_axis(name, reward_t, time_dim)
    target_t = one_step(reward_t, v_tp1, terminated_t, gamma)
    carry_t = carry(cut_at_end(done_t, dim), gamma * lmbda, target_t.dtype)
    # The same recurrence, with the λ share of the one-step bootstrap taken out only where Gₜ₊₁ replaces it.
    return reverse_linear_scan(carry_t, torch.addcmul(target_t, carry_t, v_tp1, value=-1), dim)


def generalized_advantage(
    reward_t: Tensor,
    v_t: Tensor,
    v_tp1: Tensor,
    terminated_t: Tensor,
    done_t: Tensor,
    *,
    gamma: float,
    lmbda: float,
    time_dim: int = -2,
) -> tuple[Tensor, Tensor]:
    """GAE: Aₜ = δₜ + γ λ (1 - doneₜ) Aₜ₊₁,  δₜ = rₜ + γ (1 - terminatedₜ) vₜ₊₁ - vₜ   (arXiv 1506.02438).

    With λ = 0 the advantage is the TD error δₜ; with λ = 1 it is the bootstrapped discounted return minus vₜ.

    Args:
        reward_t: rewards [*B, T, 1].
        v_t: values of the states left [*B, T, 1].
        v_tp1: values of the states reached [*B, T, 1]: at a truncation that of the true final state.
        terminated_t: where the task ended [*B, T, 1].
        done_t: where a trajectory ended [*B, T, 1].
        gamma: discount γ in [0, 1].
        lmbda: trace decay λ in [0, 1].
        time_dim: the axis of time.

    Returns:
        The advantages Aₜ and the value targets Aₜ + vₜ, each of the shape of the inputs.

    Raises:
        SpecError: the shapes differ, a mask is no mask, γ or λ is out of range, or there is no such axis.

    >>> no = torch.tensor([False, False])
    >>> generalized_advantage(torch.ones(2), torch.zeros(2), torch.zeros(2), no, no, gamma=1.0, lmbda=0.5, time_dim=-1)
    (tensor([1.5000, 1.0000]), tensor([1.5000, 1.0000]))
    """
    name = "generalized_advantage"
    require_same_shape(name, reward_t=reward_t, v_t=v_t, v_tp1=v_tp1, terminated_t=terminated_t, done_t=done_t)
    require_mask(name, terminated_t=terminated_t, done_t=done_t)
    require_fraction(name, gamma=gamma, lmbda=lmbda)
    dim = require_time_axis(name, reward_t, time_dim)
    delta_t = one_step(reward_t, v_tp1, terminated_t, gamma) - v_t
    advantage_t = reverse_linear_scan(carry(done_t, gamma * lmbda, delta_t.dtype), delta_t, dim)
    return advantage_t, advantage_t + v_t
