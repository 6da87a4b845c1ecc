"""V-trace: values of a policy from the experience of another one.

Layout, masks and cuts are those of the other returns: [*B, T, 1] with the default ``time_dim=-2``.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from keywork.functional._checks import (
    require_fraction,
    require_mask,
    require_positive,
    require_same_shape,
    require_time_axis,
)
from keywork.functional._cuts import carry, following, one_step
from keywork.functional._scan import reverse_linear_scan


class ClippedWeights(NamedTuple):
    """What ``clipped_weights`` returns, each of the shape of the log-probabilities.

    Attributes:
        rho_t: min(ρ̄, πₜ / μₜ), the weight of an action's own TD error.
        c_t: λ min(c̄, πₜ / μₜ), the trace: what of the future passes through index t.
    """

    rho_t: Tensor
    c_t: Tensor


class VTrace(NamedTuple):
    """What ``vtrace`` returns, each of the shape of the rewards.

    Attributes:
        target_t: the value targets vsₜ.
        advantage_t: ρₜ (rₜ + γ vsₜ₊₁ - vₜ), for the policy gradient.
    """

    target_t: Tensor
    advantage_t: Tensor


def clipped_weights(
    log_prob_t: Tensor, old_log_prob_t: Tensor, *, rho_clip: float = 1.0, c_clip: float = 1.0, lmbda: float = 1.0
) -> ClippedWeights:
    """Truncated importance weights ρₜ = min(ρ̄, πₜ / μₜ) and cₜ = λ min(c̄, πₜ / μₜ), without gradient.

    π is the policy that learns, μ the one that acted. V-trace uses both (arXiv 1802.01561), Retrace(λ) only cₜ
    (arXiv 1606.02647).

    Args:
        log_prob_t: log π of the actions taken [*B, T, 1]: for the returns here with a trailing dimension of one.
        old_log_prob_t: log μ of the same [*B, T, 1].
        rho_clip: ρ̄ > 0.
        c_clip: c̄ > 0.
        lmbda: trace decay λ in [0, 1].

    Raises:
        SpecError: the shapes differ, or a number is out of range.

    >>> import torch
    >>> clipped_weights(torch.tensor([0.5, 3.0]).log(), torch.zeros(2), rho_clip=2.0, lmbda=0.5)
    ClippedWeights(rho_t=tensor([0.5000, 2.0000]), c_t=tensor([0.2500, 0.5000]))
    """
    name = "clipped_weights"
    require_same_shape(name, log_prob_t=log_prob_t, old_log_prob_t=old_log_prob_t)
    require_positive(name, rho_clip=rho_clip, c_clip=c_clip)
    require_fraction(name, lmbda=lmbda)
    ratio = (log_prob_t.detach() - old_log_prob_t.detach()).exp()
    return ClippedWeights(ratio.clamp(max=rho_clip), lmbda * ratio.clamp(max=c_clip))


def vtrace(
    reward_t: Tensor,
    v_t: Tensor,
    v_tp1: Tensor,
    terminated_t: Tensor,
    done_t: Tensor,
    weights: ClippedWeights,
    *,
    gamma: float,
    time_dim: int = -2,
) -> VTrace:
    """V-trace: vsₜ = vₜ + ρₜ δₜ + γ cₜ (1 - doneₜ) (vsₜ₊₁ - vₜ₊₁)   (Espeholt et al. 2018, arXiv 1802.01561).

    δₜ = rₜ + γ (1 - terminatedₜ) vₜ₊₁ - vₜ. Where the trajectory or the batch is cut, vsₜ₊₁ is vₜ₊₁. On policy
    (ρₜ = cₜ = 1) the target is the λ-return with λ = 1; with cₜ = λ besides, it is that of ``generalized_advantage``.

    Args:
        reward_t: rewards [*B, T, 1].
        v_t: values of the states left [*B, T, 1].
        v_tp1: values of the states reached [*B, T, 1]: at a truncation that of the true final state.
        terminated_t: where the task ended [*B, T, 1].
        done_t: where a trajectory ended [*B, T, 1].
        weights: of ``clipped_weights`` [*B, T, 1].
        gamma: discount γ in [0, 1].
        time_dim: the axis of time.

    Raises:
        SpecError: the shapes differ, a mask is no mask, γ is out of range, or there is no such axis.

    >>> import torch
    >>> no, halves = torch.tensor([False, False]), torch.full((2,), 0.5)
    >>> weights = ClippedWeights(halves, halves)
    >>> vtrace(torch.ones(2), torch.zeros(2), torch.zeros(2), no, no, weights, gamma=1.0, time_dim=-1)
    VTrace(target_t=tensor([0.7500, 0.5000]), advantage_t=tensor([0.7500, 0.5000]))
    """
    name, (rho_t, c_t) = "vtrace", weights
    values = {"reward_t": reward_t, "v_t": v_t, "v_tp1": v_tp1}
    require_same_shape(name, **values, terminated_t=terminated_t, done_t=done_t, rho_t=rho_t, c_t=c_t)
    require_mask(name, terminated_t=terminated_t, done_t=done_t)
    require_fraction(name, gamma=gamma)
    dim = require_time_axis(name, reward_t, time_dim)
    delta_t = one_step(reward_t, v_tp1, terminated_t, gamma) - v_t
    carry_t = carry(done_t, gamma, delta_t.dtype)
    correction_t = reverse_linear_scan(carry_t * c_t, rho_t * delta_t, dim)
    advantage_t = rho_t * (delta_t + carry_t * following(correction_t, dim))
    return VTrace(v_t + correction_t, advantage_t)
