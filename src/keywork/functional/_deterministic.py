"""Terms of learning with an actor without randomness: TD3's target actions."""

from __future__ import annotations

import torch
from torch import Tensor

from keywork._errors import SpecError
from keywork.functional._checks import require_same_shape


def smoothed_action(
    action: Tensor, noise: Tensor, *, noise_clip: float, low: float | Tensor, high: float | Tensor
) -> Tensor:
    """a' = clip(a + clip(ε, -c, c), low, high): TD3's target policy smoothing   (Fujimoto et al. 2018, 1802.09477).

    The target is ``td0_target`` with the smaller one of two target networks' Q(sₜ₊₁, a') as vₜ₊₁.

    Args:
        action: actions of the target policy [*B, n].
        noise: ε, drawn by the caller, of the same shape: 0.2 · ``torch.randn_like(action)`` in the paper.
        noise_clip: c ≥ 0, 0.5 in the paper.
        low: the least action allowed, a number or [n].
        high: the greatest action allowed, a number or [n].

    Raises:
        SpecError: the shapes differ, or the clip is below zero.

    >>> smoothed_action(torch.tensor([0.0, 0.9]), torch.tensor([-3.0, 0.3]), noise_clip=0.5, low=-1.0, high=1.0)
    tensor([-0.5000,  1.0000])
    """
    require_same_shape("smoothed_action", action=action, noise=noise)
    if not noise_clip >= 0.0:
        raise SpecError(
            "smoothed_action cannot be computed: noise_clip is out of range. "
            f"It takes noise_clip >= 0; got {noise_clip}. The paper's choice is 0.5."
        )
    moved = action + noise.clamp(-noise_clip, noise_clip)
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        return moved.clamp(low, high)
    # Not clamp: it takes two numbers or two tensors, but not one of each, nor tensors of another type.
    return torch.minimum(torch.maximum(moved, _like(low, moved)), _like(high, moved))


def _like(bound: float | Tensor, action: Tensor) -> Tensor:
    return torch.as_tensor(bound, dtype=action.dtype, device=action.device)
