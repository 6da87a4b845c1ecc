"""The return that looks n steps ahead."""

from __future__ import annotations

import torch
from torch import Tensor

from keywork.functional._checks import (
    require_fraction,
    require_mask,
    require_positive,
    require_same_shape,
    require_time_axis,
)
from keywork.functional._cuts import cut_at_end, following, where_not
from keywork.functional._returns import lambda_return


def n_step_return(
    reward_t: Tensor, v_tp1: Tensor, terminated_t: Tensor, done_t: Tensor, *, n: int, gamma: float, time_dim: int = -2
) -> Tensor:
    """Gₜ = rₜ + γ rₜ₊₁ + ... + γⁿ⁻¹ rₜ₊ₙ₋₁ + γⁿ v(sₜ₊ₙ)   (Sutton & Barto 2018, 7.1).

    Where the trajectory or the batch is cut after m < n steps, the sum has m rewards and ends in γᵐ v(sₜ₊ₘ), or in
    nothing if the task terminated there. With n = 1 this is ``td0_target``; from n = T on it is ``lambda_return``
    with λ = 1.

    Args:
        reward_t: rewards [*B, T, 1].
        v_tp1: values of the states reached [*B, T, 1].
        terminated_t: where the task ended [*B, T, 1].
        done_t: where a trajectory ended [*B, T, 1].
        n: how many rewards are summed, at least one.
        gamma: discount γ in [0, 1].
        time_dim: the axis of time.

    Raises:
        SpecError: the shapes differ, a mask is no mask, n or γ is out of range, or there is no such axis.

    >>> no = torch.zeros(3, dtype=torch.bool)
    >>> n_step_return(torch.ones(3), torch.full((3,), 8.0), no, no, n=2, gamma=0.5, time_dim=-1)
    tensor([3.5000, 3.5000, 5.0000])
    """
    name = "n_step_return"
    require_same_shape(name, reward_t=reward_t, v_tp1=v_tp1, terminated_t=terminated_t, done_t=done_t)
    require_mask(name, terminated_t=terminated_t, done_t=done_t)
    require_positive(name, n=n)
    require_fraction(name, gamma=gamma)
    dim = require_time_axis(name, reward_t, time_dim)
    if n >= reward_t.shape[dim]:
        return lambda_return(reward_t, v_tp1, terminated_t, done_t, gamma=gamma, lmbda=1.0, time_dim=dim)
    cut_t = cut_at_end(done_t, dim)
    bootstrap_t = where_not(terminated_t, v_tp1.dtype) * v_tp1
    target_t = reward_t + gamma * bootstrap_t
    for _ in range(n - 1):
        target_t = reward_t + gamma * torch.where(cut_t, bootstrap_t, following(target_t, dim))
    return target_t
