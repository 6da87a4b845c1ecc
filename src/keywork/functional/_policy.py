"""Policy-gradient terms: objectives per sample, to be maximised, and what tells how far the policy has moved."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from keywork._errors import SpecError
from keywork.functional._checks import require_same_shape
from keywork.functional._mean import masked_mean


class ClippedSurrogate(NamedTuple):
    """What ``clipped_surrogate`` returns, each of the shape of the log-probabilities.

    Attributes:
        objective: per sample, to be maximised.
        ratio: π(a|s) / π_old(a|s).
        log_ratio: its logarithm.
    """

    objective: Tensor
    ratio: Tensor
    log_ratio: Tensor


def policy_gradient(log_prob_t: Tensor, advantage_t: Tensor) -> Tensor:
    """REINFORCE objective Jₜ = log π(aₜ|sₜ) · Aₜ, with Aₜ held constant   (Williams 1992).

    Its gradient is the policy gradient; its value means nothing. Maximise its mean.

    Args:
        log_prob_t: log-probabilities of the actions taken [*B].
        advantage_t: advantages or returns [*B].

    Raises:
        SpecError: the shapes differ, as [B] and [B, 1] do.

    >>> policy_gradient(torch.tensor([-1.0, -2.0]), torch.tensor([3.0, -1.0]))
    tensor([-3.,  2.])
    """
    require_same_shape("policy_gradient", log_prob_t=log_prob_t, advantage_t=advantage_t)
    return log_prob_t * advantage_t.detach()


def clipped_surrogate(
    log_prob_t: Tensor, old_log_prob_t: Tensor, advantage_t: Tensor, *, clip_epsilon: float | Tensor
) -> ClippedSurrogate:
    """PPO's objective Jₜ = min(ρₜ Aₜ, clip(ρₜ, 1 - ε, 1 + ε) Aₜ),  ρₜ = π(aₜ|sₜ) / π_old(aₜ|sₜ)   (arXiv 1707.06347).

    Computed as min(ρₜ Aₜ, Aₜ + ε |Aₜ|), which is the same number: only the bound on the side of the advantage's sign
    can be the smaller one. Advantages and old log-probabilities are constants: no gradient flows into them.

    Args:
        log_prob_t: log-probabilities of the actions taken, under the policy that learns [*B].
        old_log_prob_t: the same under the policy that acted [*B].
        advantage_t: advantages [*B].
        clip_epsilon: ε > 0; a tensor [], which is not looked at, where it changes and the call is compiled.

    Returns:
        The objective per sample, the ratio, and its logarithm: the latter two for ``clip_fraction`` and
        ``approximate_kl``.

    Raises:
        SpecError: the shapes differ, as [B] and [B, 1] do, or ε is not positive.

    >>> ratio, advantage = torch.tensor([1.5, 1.5, 0.5]), torch.tensor([2.0, -2.0, -2.0])
    >>> clipped_surrogate(ratio.log(), torch.zeros(3), advantage, clip_epsilon=0.2).objective
    tensor([ 2.4000, -3.0000, -1.6000])
    """
    name = "clipped_surrogate"
    require_same_shape(name, log_prob_t=log_prob_t, old_log_prob_t=old_log_prob_t, advantage_t=advantage_t)
    if not isinstance(clip_epsilon, Tensor) and not clip_epsilon > 0.0:
        raise SpecError(
            f"{name} cannot be computed: clip_epsilon is out of range. "
            f"It takes clip_epsilon > 0; got {clip_epsilon}. The paper's choice is 0.2."
        )
    advantage_t = advantage_t.detach()
    log_ratio = log_prob_t - old_log_prob_t.detach()
    ratio = log_ratio.exp()
    if isinstance(clip_epsilon, Tensor):
        bound = advantage_t + clip_epsilon * advantage_t.abs()
    else:
        bound = torch.add(advantage_t, advantage_t.abs(), alpha=clip_epsilon)
    return ClippedSurrogate(torch.minimum(ratio * advantage_t, bound), ratio, log_ratio)


def clip_fraction(ratio: Tensor, mask: Tensor | None = None, *, clip_epsilon: float | Tensor) -> Tensor:
    """The share of samples, or of those in the mask, with |ρ - 1| > ε, a number without gradient.

    >>> clip_fraction(torch.tensor([0.7, 0.9, 1.0, 1.3]), clip_epsilon=0.2)
    tensor(0.5000)
    """
    ratio = ratio.detach()
    return masked_mean(((ratio - 1.0).abs_() > clip_epsilon).to(ratio.dtype), mask)


def approximate_kl(log_ratio: Tensor, mask: Tensor | None = None) -> Tensor:
    """KL(π_old ‖ π) ≈ mean(ρ - 1 - log ρ) over actions of π_old, a number without gradient   (Schulman 2020, "k3").

    Unbiased as mean(-log ρ) is, but never negative and of lower variance. With a mask, the mean of what it lets count.

    >>> approximate_kl(torch.tensor([0.0, 0.0])), approximate_kl(torch.tensor([1.0]))
    (tensor(0.), tensor(0.7183))
    """
    log_ratio = log_ratio.detach()
    return masked_mean(log_ratio.expm1() - log_ratio, mask)
