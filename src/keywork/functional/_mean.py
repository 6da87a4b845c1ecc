"""The mean over a batch of which some samples may not count."""

from __future__ import annotations

import torch
from torch import Tensor

from keywork.functional._checks import require_mask, require_same_shape


def masked_mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Σ x over the samples where the mask is true, divided by how many these are; without a mask, of all.

    Zero where none counts. What does not count has no gradient, and may be infinite or NaN.

    Args:
        x: numbers of any shape.
        mask: where they count, of the same shape.

    Raises:
        SpecError: the shapes differ, or the mask is none.

    >>> x = torch.tensor([1.0, 2.0, torch.inf])
    >>> masked_mean(x[:2]), masked_mean(x, torch.tensor([True, True, False]))
    (tensor(1.5000), tensor(1.5000))
    """
    if mask is None:
        return x.mean()
    require_same_shape("masked_mean", x=x, mask=mask)
    require_mask("masked_mean", mask=mask)
    return torch.where(mask, x, 0.0).sum() / mask.sum().clamp(min=1)
