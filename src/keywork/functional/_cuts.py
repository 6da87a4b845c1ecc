"""What every return shares: the one-step target, and what may pass from index t+1 of a batch to index t."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def one_step(reward_t: Tensor, v_tp1: Tensor, terminated_t: Tensor, gamma: float) -> Tensor:
    """rₜ + γ (1 - terminatedₜ) vₜ₊₁."""
    return torch.addcmul(reward_t, where_not(terminated_t, v_tp1.dtype), v_tp1, value=gamma)


def carry(done_t: Tensor, coefficient: float, dtype: torch.dtype) -> Tensor:
    """What of index t+1 counts at index t: the coefficient, or zero at a cut."""
    return where_not(done_t, dtype).mul_(coefficient)


def where_not(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """1 where the mask is false, 0 where it is true."""
    # On a CPU torch converts bytes to numbers six times faster than it converts booleans.
    return (~mask).view(torch.uint8).to(dtype)


def cut_at_end(done_t: Tensor, dim: int) -> Tensor:
    """The mask with the batch's last index set: nothing of what follows is in the batch."""
    cut_t = done_t.clone()
    cut_t.select(dim, -1).fill_(True)
    return cut_t


def following(x_t: Tensor, dim: int) -> Tensor:
    """xₜ₊₁ at index t, and zero at the last one."""
    beyond = [0, 0] * (x_t.ndim - 1 - dim) + [0, 1]
    return F.pad(x_t.narrow(dim, 1, x_t.shape[dim] - 1), beyond)
