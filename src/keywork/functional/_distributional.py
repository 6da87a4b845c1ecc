"""Distributions of the return: C51's projection and loss, and the loss of quantile regression."""

from __future__ import annotations

import torch
from torch import Tensor

from keywork._errors import SpecError
from keywork.functional._checks import require_fraction, require_mask, require_rows, require_same_shape
from keywork.functional._cuts import where_not


def categorical_projection(
    probs_tp1: Tensor, reward_t: Tensor, terminated_t: Tensor, support: Tensor, *, gamma: float | Tensor
) -> Tensor:
    """C51's target: the distribution of rₜ + γ (1 - terminatedₜ) Z, put back on the atoms   (arXiv 1707.06887).

    mᵢ = Σⱼ pⱼ max(0, 1 - |clip(rₜ + γ (1 - terminatedₜ) zⱼ, z₁, z_N) - zᵢ| / Δz): each moved atom gives its
    probability to its two neighbours, the nearer one the more. The sum stays one, and so does the mean unless clipped.

    Args:
        probs_tp1: probabilities of the atoms for the next action [*B, N].
        reward_t: rewards [*B, 1].
        terminated_t: where the task ended [*B, 1].
        support: the atoms z [N], N ≥ 2, ascending and evenly spaced, as ``torch.linspace`` makes them.
        gamma: discount γ in [0, 1], or one for each transition [*B, 1].

    Returns:
        The probabilities m [*B, N].

    Raises:
        SpecError: the shapes do not belong together, the mask is no mask, or γ is out of range.

    >>> p, support = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([0.0, 1.0, 2.0])
    >>> categorical_projection(p, torch.tensor([[0.25]]), torch.tensor([[False]]), support, gamma=0.5)
    tensor([[0.0000, 0.7500, 0.2500]])
    """
    name = "categorical_projection"
    rows = {"reward_t": reward_t, "terminated_t": terminated_t}
    if isinstance(gamma, Tensor):
        rows["gamma"] = gamma
    else:
        require_fraction(name, gamma=gamma)
    require_rows(name, {"probs_tp1": probs_tp1}, rows)
    require_mask(name, terminated_t=terminated_t)
    count = probs_tp1.shape[-1]
    if support.shape != (count,) or count < 2:
        raise SpecError(
            f"{name} cannot be computed: the support does not fit the probabilities. It takes one atom for each of "
            f"them, at least two; got support {list(support.shape)}, probs_tp1 {list(probs_tp1.shape)}. "
            f"Pass support=torch.linspace(-10.0, 10.0, {max(count, 2)}), for example."
        )
    low, high = support[0], support[-1]
    moved = reward_t + gamma * where_not(terminated_t, support.dtype) * support
    place = (moved.clamp(low, high) - low) / (high - low) * (count - 1)
    # The last atom is the right neighbour of the last but one, so that no index lies beyond it.
    left = place.detach().long().clamp(0, count - 2)
    share = place - left
    projected = torch.zeros_like(probs_tp1).scatter_add(-1, left, probs_tp1 * (1.0 - share))
    return projected.scatter_add(-1, left + 1, probs_tp1 * share)


def categorical_loss(log_probs_t: Tensor, target_probs: Tensor) -> Tensor:
    """Cross-entropy -Σᵢ mᵢ log pᵢ of C51, per sample, to be minimised   (arXiv 1707.06887). The target is a constant.

    Args:
        log_probs_t: log-probabilities of the atoms for the action taken [*B, N].
        target_probs: those of ``categorical_projection`` [*B, N].

    Returns:
        The loss [*B].

    Raises:
        SpecError: the shapes differ.

    >>> categorical_loss(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[1.0, 0.0]]))
    tensor([0.6931])
    """
    require_same_shape("categorical_loss", log_probs_t=log_probs_t, target_probs=target_probs)
    # xlogy's rule: an atom of no probability on either side adds nothing, where 0 · log 0 would be NaN.
    target = target_probs.detach()
    return -torch.where(target == 0.0, 0.0, target * log_probs_t).sum(-1)


def quantile_huber_loss(
    quantiles_t: Tensor, target: Tensor, *, taus: Tensor | None = None, kappa: float = 1.0
) -> Tensor:
    """Σᵢ meanⱼ |τᵢ - 1{uᵢⱼ < 0}| L(uᵢⱼ),  uᵢⱼ = Gⱼ - θᵢ, to be minimised   (Dabney et al. 2018, arXiv 1710.10044).

    L(u) is Huber's u² / 2κ where |u| ≤ κ and |u| - κ/2 beyond; with κ = 0, |u|: quantile regression. The divisor κ
    is that of arXiv 1806.06923; at the usual κ = 1 it makes no difference. The target is a constant.

    Args:
        quantiles_t: predicted quantiles θ for the action taken [*B, N].
        target: samples or quantiles G of the target [*B, M], as ``td0_target`` makes them of expanded rewards.
        taus: the fractions τ of the quantiles, [N] or [*B, N]; (2i - 1) / 2N if left out.
        kappa: where the square ends, κ ≥ 0.

    Returns:
        The loss [*B].

    Raises:
        SpecError: the shapes do not belong together, or κ is below zero.

    >>> quantile_huber_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0]]))
    tensor([0.7500])
    """
    name, count = "quantile_huber_loss", quantiles_t.shape[-1:]
    taus = _midpoints(quantiles_t) if taus is None else taus
    fits = quantiles_t.shape[:-1] == target.shape[:-1] and min(quantiles_t.ndim, target.ndim) > 0
    if not fits or taus.shape not in (count, quantiles_t.shape):
        raise SpecError(
            f"{name} cannot be computed: its tensors do not belong together. "
            "It takes quantiles_t [*B, N], target [*B, M] and taus [N] or [*B, N]; got quantiles_t "
            f"{list(quantiles_t.shape)}, target {list(target.shape)}, taus {list(taus.shape)}. "
            "Pick the quantiles of the action taken first, with .gather(...)."
        )
    if not kappa >= 0.0:
        raise SpecError(
            f"{name} cannot be computed: kappa is out of range. "
            f"It takes kappa >= 0; got {kappa}. The paper's choice is 1."
        )
    error = target.detach().unsqueeze(-2) - quantiles_t.unsqueeze(-1)
    size = error.abs()
    huber = size if kappa == 0.0 else torch.where(size <= kappa, size.square() / (2.0 * kappa), size - kappa / 2.0)
    weight = (taus.unsqueeze(-1) - (error < 0).to(error.dtype)).abs()
    return (weight * huber).mean(-1).sum(-1)


def _midpoints(quantiles: Tensor) -> Tensor:
    count = quantiles.shape[-1:].numel()
    return (torch.arange(count, dtype=quantiles.dtype, device=quantiles.device) + 0.5) / count
