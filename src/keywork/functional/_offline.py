"""Terms of learning from stored experience alone: CQL's penalty, IQL's critic and actor."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from keywork._errors import SpecError
from keywork.functional._checks import require_positive, require_rows, require_same_shape


def conservative_penalty(q: Tensor, q_taken: Tensor, *, log_prob: Tensor | None = None) -> Tensor:
    """log Σₐ exp q(a) - q(aₜ), to be minimised: CQL(H)   (Kumar et al. 2020, arXiv 2006.04779).

    It lowers the values of all actions and raises those of the actions that the data holds. For actions that cannot be
    listed, n of them are drawn from a density μ and log Σ becomes log (1/n) Σⱼ exp(q(aⱼ) - log μ(aⱼ)).

    Args:
        q: values of all choices, or of n drawn actions [*B, n].
        q_taken: values of the actions in the data [*B, 1].
        log_prob: log μ of the drawn actions [*B, n]; left out where q has all choices. A constant.

    Returns:
        The penalty [*B, 1].

    Raises:
        SpecError: the shapes do not belong together.

    >>> conservative_penalty(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0]]))
    tensor([[0.6931]])
    """
    choices = {"q": q} if log_prob is None else {"q": q, "log_prob": log_prob}
    require_rows("conservative_penalty", choices, {"q_taken": q_taken})
    if log_prob is not None:
        q = q - (log_prob.detach() + math.log(q.shape[-1]))
    return q.logsumexp(-1, keepdim=True) - q_taken


def expectile_loss(value: Tensor, target: Tensor, *, expectile: float) -> Tensor:
    """Per-sample loss |τ - 1{u < 0}| u²,  u = G - v, to be minimised   (Kostrikov et al. 2021, 2110.06169).

    IQL's critic. With τ = 1/2 it is half the squared error; towards 1, v nears the greatest G. G is a constant.

    Args:
        value: predictions [*B].
        target: what they should be [*B]: in IQL the smaller one of two target networks' Q(s, a).
        expectile: τ in (0, 1).

    Raises:
        SpecError: the shapes differ, or τ is out of range.

    >>> expectile_loss(torch.tensor([0.0, 0.0]), torch.tensor([2.0, -2.0]), expectile=0.75)
    tensor([3., 1.])
    """
    require_same_shape("expectile_loss", value=value, target=target)
    if not 0.0 < expectile < 1.0:
        raise SpecError(
            "expectile_loss cannot be computed: expectile is out of range. "
            f"It takes a number in (0, 1); got {expectile}. Pass expectile=0.7, for example."
        )
    error = target.detach() - value
    return torch.where(error < 0.0, 1.0 - expectile, expectile) * error.square()


def advantage_weighted(log_prob_t: Tensor, advantage_t: Tensor, *, beta: float, max_weight: float = 100.0) -> Tensor:
    """Objective Jₜ = min(exp(β Aₜ), w) log π(aₜ|sₜ), to be maximised: IQL's actor   (arXiv 2110.06169; AWR 1910.00177).

    Behaviour cloning that leans towards what turned out well. The weight is a constant.

    Args:
        log_prob_t: log-probabilities of the actions in the data [*B].
        advantage_t: Q(sₜ, aₜ) - V(sₜ), of the same shape.
        beta: the inverse temperature β > 0.
        max_weight: the greatest weight w > 0.

    Raises:
        SpecError: the shapes differ, as [B] and [B, 1] do, or a number is not above zero.

    >>> advantage_weighted(torch.tensor([-1.0, -1.0]), torch.tensor([0.0, 9.0]), beta=1.0)
    tensor([  -1., -100.])
    """
    require_same_shape("advantage_weighted", log_prob_t=log_prob_t, advantage_t=advantage_t)
    require_positive("advantage_weighted", beta=beta, max_weight=max_weight)
    weight = (beta * advantage_t.detach()).exp().clamp(max=max_weight)
    return weight * log_prob_t
