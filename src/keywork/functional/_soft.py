"""Terms of learning with an entropy bonus: the values, the policy and the temperature of SAC."""

from __future__ import annotations

import torch
from torch import Tensor

from keywork.functional._checks import require_same_shape


def soft_value(q: Tensor, log_prob: Tensor, *, alpha: float | Tensor) -> Tensor:
    """v = q(a) - α log π(a) of an action a drawn from π   (Haarnoja et al. 2018, arXiv 1801.01290).

    SAC's critic target is ``td0_target`` with this as vₜ₊₁, q the smaller one of two target networks.

    Args:
        q: action values [*B].
        log_prob: log-probabilities of the same actions, of the same shape.
        alpha: the temperature α, a number or a tensor that broadcasts.

    Raises:
        SpecError: the shapes differ, as [B, 1] and [B] do.

    >>> soft_value(torch.tensor([1.0]), torch.tensor([-2.0]), alpha=0.5)
    tensor([2.])
    """
    require_same_shape("soft_value", q=q, log_prob=log_prob)
    return q - alpha * log_prob


def expected_soft_value(q: Tensor, log_probs: Tensor, *, alpha: float | Tensor) -> Tensor:
    """v = Σₐ π(a) (q(a) - α log π(a)), for choices   (Christodoulou 2019, arXiv 1910.07207).

    With ``alpha=0`` it is the v of expected SARSA. An action that is never taken (log π = -∞) adds nothing. Its
    negative is the policy's loss, where q is held constant.

    Args:
        q: action values [*B, n].
        log_probs: log-probabilities of all actions [*B, n].
        alpha: the temperature α, a number or a tensor that broadcasts.

    Returns:
        The values [*B, 1].

    Raises:
        SpecError: the shapes differ.

    >>> expected_soft_value(torch.tensor([[2.0, 4.0]]), torch.tensor([[0.5, 0.5]]).log(), alpha=1.0)
    tensor([[3.6931]])
    """
    require_same_shape("expected_soft_value", q=q, log_probs=log_probs)
    possible = log_probs > -torch.inf
    finite = torch.where(possible, log_probs, 0.0)  # before the product: its gradient at 0 · ∞ would be NaN
    term = finite.exp() * (q - alpha * finite)
    return torch.where(possible, term, 0.0).sum(-1, keepdim=True)


def soft_policy_loss(log_prob: Tensor, q: Tensor, *, alpha: float | Tensor) -> Tensor:
    """Per-sample loss α log π(a) - q(a), to be minimised, of an action a that π drew with gradient   (1801.01290).

    The gradient reaches the policy through log π(a) and, by the action, through q; the temperature is a constant.

    Args:
        log_prob: log-probabilities of the actions [*B].
        q: their values, of the same shape.
        alpha: the temperature α, a number or a tensor that broadcasts.

    Raises:
        SpecError: the shapes differ, as [B, 1] and [B] do.

    >>> soft_policy_loss(torch.tensor([-2.0]), torch.tensor([1.0]), alpha=0.5)
    tensor([-2.])
    """
    require_same_shape("soft_policy_loss", log_prob=log_prob, q=q)
    return (alpha.detach() if isinstance(alpha, Tensor) else alpha) * log_prob - q


def temperature_loss(log_alpha: Tensor, log_prob: Tensor, *, target_entropy: float | Tensor) -> Tensor:
    """Per-sample loss -α (log π(a) + H̄),  α = exp(log α), to be minimised   (Haarnoja et al. 2018, arXiv 1812.05905).

    It raises α while the entropy -log π is below H̄, and lowers it while it is above. Only α has a gradient.

    Args:
        log_alpha: the logarithm of the temperature, a scalar or a tensor that broadcasts.
        log_prob: log-probabilities of actions that the policy drew [*B].
        target_entropy: H̄, a number, or one for each sample [*B]; the paper's choice is minus the number of the
            action's dimensions.

    >>> temperature_loss(torch.tensor(0.0), torch.tensor([-1.0, 3.0]), target_entropy=-2.0)
    tensor([ 3., -1.])
    """
    return -log_alpha.exp() * (log_prob.detach() + target_entropy)
