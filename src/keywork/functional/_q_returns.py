"""Returns for action values, from experience of another policy: Retrace(λ) and Watkins's Q(λ).

Each follows the trajectory as long as the policy that learns would have: a trace in [0, 1] says how far an action is
still its own. Layout, masks and cuts are those of the other returns: [*B, T, 1] with the default ``time_dim=-2``.
"""

from __future__ import annotations

from torch import Tensor

from keywork.functional._checks import require_fraction, require_mask, require_same_shape, require_time_axis
from keywork.functional._cuts import carry, following, one_step, where_not
from keywork.functional._scan import reverse_linear_scan


def retrace_return(
    reward_t: Tensor,
    q_t: Tensor,
    v_tp1: Tensor,
    c_t: Tensor,
    terminated_t: Tensor,
    done_t: Tensor,
    *,
    gamma: float,
    time_dim: int = -2,
) -> Tensor:
    """Retrace(λ): Gₜ = qₜ + δₜ + γ (1 - doneₜ) cₜ₊₁ (Gₜ₊₁ - qₜ₊₁)   (Munos et al. 2016, arXiv 1606.02647).

    δₜ = rₜ + γ (1 - terminatedₜ) vₜ₊₁ - qₜ. The first action's value is what is learned, so that it has no weight
    itself: cₜ counts from the second on. With cₜ = 0 this is ``td0_target``. With cₜ = λ min(1, πₜ / μₜ) from
    ``clipped_weights`` it is Retrace; with cₜ = λ πₜ, tree backup; with cₜ = λ, Q(λ) of Harutyunyan et al. 2016.

    Args:
        reward_t: rewards [*B, T, 1].
        q_t: values Q(sₜ, aₜ) of the actions taken [*B, T, 1].
        v_tp1: E[Q(sₜ₊₁, a)] over actions a of the policy that learns [*B, T, 1].
        c_t: traces in [0, 1] [*B, T, 1].
        terminated_t: where the task ended [*B, T, 1].
        done_t: where a trajectory ended [*B, T, 1].
        gamma: discount γ in [0, 1].
        time_dim: the axis of time.

    Raises:
        SpecError: the shapes differ, a mask is no mask, γ is out of range, or there is no such axis.

    >>> import torch
    >>> no, zero, halves = torch.tensor([False, False]), torch.zeros(2), torch.full((2,), 0.5)
    >>> retrace_return(torch.ones(2), zero, zero, halves, no, no, gamma=1.0, time_dim=-1)
    tensor([1.5000, 1.0000])
    """
    name, values = "retrace_return", {"reward_t": reward_t, "q_t": q_t, "v_tp1": v_tp1, "c_t": c_t}
    require_same_shape(name, **values, terminated_t=terminated_t, done_t=done_t)
    require_mask(name, terminated_t=terminated_t, done_t=done_t)
    require_fraction(name, gamma=gamma)
    dim = require_time_axis(name, reward_t, time_dim)
    delta_t = one_step(reward_t, v_tp1, terminated_t, gamma) - q_t
    carry_t = carry(done_t, gamma, delta_t.dtype) * following(c_t, dim)
    return q_t + reverse_linear_scan(carry_t, delta_t, dim)


def watkins_return(
    reward_t: Tensor,
    v_tp1: Tensor,
    greedy_t: Tensor,
    terminated_t: Tensor,
    done_t: Tensor,
    *,
    gamma: float,
    lmbda: float,
    time_dim: int = -2,
) -> Tensor:
    """Watkins's Q(λ): Gₜ = rₜ + γ (1 - terminatedₜ) [(1 - λₜ₊₁) vₜ₊₁ + λₜ₊₁ Gₜ₊₁],  vₜ₊₁ = max Q(sₜ₊₁, a).

    λₜ₊₁ is λ where the next action was greedy and zero where it explored (Watkins 1989). Where the trajectory or the
    batch is cut, Gₜ₊₁ is vₜ₊₁. Peng's Q(λ) (Peng & Williams 1996), which does not stop at exploration, is
    ``lambda_return`` with the same vₜ₊₁.

    Args:
        reward_t: rewards [*B, T, 1].
        v_tp1: the greatest action value of the states reached [*B, T, 1].
        greedy_t: where the action taken at sₜ was the greedy one [*B, T, 1].
        terminated_t: where the task ended [*B, T, 1].
        done_t: where a trajectory ended [*B, T, 1].
        gamma: discount γ in [0, 1].
        lmbda: trace decay λ in [0, 1].
        time_dim: the axis of time.

    Raises:
        SpecError: the shapes differ, a mask is no mask, γ or λ is out of range, or there is no such axis.

    >>> import torch
    >>> no, greedy = torch.zeros(3, dtype=torch.bool), torch.tensor([True, True, False])
    >>> watkins_return(torch.ones(3), torch.zeros(3), greedy, no, no, gamma=1.0, lmbda=0.5, time_dim=-1)
    tensor([1.5000, 1.0000, 1.0000])
    """
    name = "watkins_return"
    masks = {"greedy_t": greedy_t, "terminated_t": terminated_t, "done_t": done_t}
    require_same_shape(name, reward_t=reward_t, v_tp1=v_tp1, **masks)
    require_mask(name, **masks)
    require_fraction(name, gamma=gamma, lmbda=lmbda)
    dim = require_time_axis(name, reward_t, time_dim)
    target_t = one_step(reward_t, v_tp1, terminated_t, gamma)
    followed_t = following(where_not(~greedy_t, target_t.dtype), dim)
    carry_t = carry(done_t, gamma * lmbda, target_t.dtype) * followed_t
    return reverse_linear_scan(carry_t, target_t - carry_t * v_tp1, dim)
