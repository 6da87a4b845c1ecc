"""Statistics over a batch: standardising advantages, judging a critic."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from keywork._errors import SpecError
from keywork.functional._checks import require_mask, require_same_shape
from keywork.functional._mean import masked_mean


def normalize(x: Tensor, mask: Tensor | None = None, *, eps: float = 1e-8) -> Tensor:
    """(x - mean) / √(variance + ε²) over all elements, the variance with divisor n.

    Always finite for finite input: one element, or equal ones, give zeros.

    Args:
        x: floating-point numbers of any shape, at least one.
        mask: where they count, of the same shape; elsewhere the result is zero.
        eps: ε, the standard deviation below which differences are noise.

    Raises:
        SpecError: there is no element; or the mask differs in shape, or is none.

    >>> normalize(torch.tensor([1.0, 3.0])), normalize(torch.tensor([5.0]))
    (tensor([-1.,  1.]), tensor([0.]))
    """
    if x.numel() == 0:
        raise SpecError(
            "normalize cannot be computed: there are no elements. It takes at least one; "
            f"got shape {list(x.shape)}. Check the mask or the slice that made it."
        )
    if mask is not None:
        require_mask("normalize", mask=mask)
        centred = torch.where(mask, x - masked_mean(x, mask), 0.0)
        return centred / (masked_mean(centred.square(), mask) + eps * eps).sqrt()
    # One fused kernel for what mean, std, subtraction and division take seven calls for.
    flat = x.reshape(-1)
    return F.layer_norm(flat, flat.shape, eps=eps * eps).view_as(x)


def explained_variance(value: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """1 - Var(target - value) / Var(target): 1 is perfect, 0 no better than a constant, below 0 worse.

    0 where the target does not vary, so that there is nothing to explain. A number without gradient.

    Args:
        value: predictions, of any shape.
        target: what they should be, of the same shape.
        mask: which of them count, of the same shape.

    Raises:
        SpecError: the shapes differ.

    >>> target = torch.tensor([1.0, 2.0, 3.0])
    >>> explained_variance(target + 10.0, target), explained_variance(torch.zeros(3), target)
    (tensor(1.), tensor(0.))
    """
    require_same_shape("explained_variance", value=value, target=target)
    value, target = value.detach(), target.detach()
    total = _variance(target, mask)
    share = 1.0 - _variance(target - value, mask) / total
    # Rounding gives equal numbers a variance of up to (their size · machine epsilon)².
    size = target if mask is None else torch.where(mask, target, 0.0)
    noise = (size.abs().max() * torch.finfo(target.dtype).eps).square()
    return torch.where(total > noise, share, torch.zeros_like(share))


def _variance(x: Tensor, mask: Tensor | None) -> Tensor:
    return x.var(correction=0) if mask is None else masked_mean((x - masked_mean(x, mask)).square(), mask)
