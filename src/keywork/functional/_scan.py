"""The one recurrence behind returns, advantages and traces, solved in log₂ T passes instead of T steps."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from keywork._errors import SpecError
from keywork.functional._checks import require_same_shape

_BLOCK = 1 << 17
"""How many numbers are solved at a time in numpy: few enough to stay in a processor's cache."""

_SMALL = 1 << 14
"""How many numbers are solved by passes over all of them in numpy."""


def reverse_linear_scan(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Solve xₜ = bₜ + aₜ xₜ₊₁ backwards along one axis, with x_T = 0 beyond its end.

    Pass k joins neighbours at distance s = 2ᵏ: (aₜ, bₜ) ∘ (aₜ₊ₛ, bₜ₊ₛ) = (aₜ aₜ₊ₛ, bₜ + aₜ bₜ₊ₛ). Nothing is divided,
    so coefficients of zero (an episode's end) are exact (Hillis & Steele 1986, Blelloch 1990).

    Where neither gradients nor transforms are at work on a CPU tensor, the passes run in numpy, several times faster
    on small batches; the numbers agree with torch's to a rounding error. Otherwise (gradients, ``torch.func``,
    ``torch.compile``, other devices) the same passes run in torch.

    Args:
        a: coefficients [*A, T, *B], usually in [0, 1]; the last one in time has nothing to multiply and is ignored.
        b: terms, of the shape and dtype of ``a``.
        dim: the axis of time.

    Raises:
        SpecError: the two differ in shape or dtype.

    >>> reverse_linear_scan(torch.full((3,), 0.5), torch.tensor([1.0, 2.0, 4.0]), dim=0)
    tensor([3., 4., 4.])
    """
    require_same_shape("reverse_linear_scan", a=a, b=b)
    if a.dtype is not b.dtype:
        raise SpecError(
            "reverse_linear_scan cannot be computed: its tensors differ in dtype. "
            f"It takes a and b of one dtype; got a {a.dtype}, b {b.dtype}. Pass a.to(b.dtype)."
        )
    if b.numel() == 0:
        return b.clone()
    dim = dim % b.ndim
    if _is_plain(a) and _is_plain(b):
        try:
            arrays = a.detach().numpy(), b.detach().numpy()
        except RuntimeError:  # inside torch.vmap and its like a tensor has no memory of its own
            return _scan_in_torch(a, b, dim)
        x = _scan_in_numpy(*arrays, dim)
        if x is not None:
            return torch.from_numpy(x)
    return _scan_in_torch(a, b, dim)


def _is_plain(tensor: Tensor) -> bool:
    """Whether the tensor is numbers in CPU memory and no one follows what is done with them."""
    return (
        not torch.compiler.is_compiling()
        and type(tensor) is Tensor
        and tensor.device.type == "cpu"
        and tensor.dtype in (torch.float32, torch.float64)
        and not (tensor.requires_grad and torch.is_grad_enabled())
        and forward_ad.unpack_dual(tensor).tangent is None  # type: ignore[no-untyped-call]
    )


def _scan_in_torch(a: Tensor, b: Tensor, dim: int) -> Tensor:
    length, step, x = b.shape[dim], 1, b.clone()
    while step < length:
        joined = length - step
        head = torch.addcmul(x.narrow(dim, 0, joined), a.narrow(dim, 0, joined), x.narrow(dim, step, joined))
        x = torch.cat([head, x.narrow(dim, joined, step)], dim)
        if 2 * step < length:
            rest = a.shape[dim] - step
            a = a.narrow(dim, 0, rest) * a.narrow(dim, step, rest)
        step *= 2
    return x


def _scan_in_numpy(a: np.ndarray, b: np.ndarray, dim: int) -> np.ndarray | None:
    """Solve the rows as one row, a block of them at a time; None if a number is not finite.

    A zero coefficient at the end of each row cuts it from the next one. But 0 · ∞ and 0 · NaN are NaN: a number that
    is not finite would reach into its neighbour's row.
    """
    length, stride = b.shape[dim], math.prod(b.shape[dim + 1 :])
    x = np.array(b, order="C")
    rows, coefficients = x.reshape(-1, length, stride), a.reshape(-1, length, stride)
    count = max(1, _BLOCK // (length * stride))
    joined = (-1,) if stride == 1 else (-1, stride)
    with np.errstate(all="ignore"):
        for start in range(0, len(rows), count):
            block = np.array(coefficients[start : start + count], order="C")
            block[:, -1] = 0
            _solve(block.reshape(joined), rows[start : start + count].reshape(joined), length)
        flat = x.reshape(-1)
        return x if math.isfinite(flat.dot(flat)) else None


def _solve(a: np.ndarray, x: np.ndarray, reach: int) -> None:
    """Write the solution along the first axis into ``x``, which holds the terms; no row is longer than ``reach``.

    Few numbers or short rows are solved fastest by passes over all of them. Otherwise every second number joins the one
    after it, the pairs are solved, and their solution gives that of the numbers between: 5 operations for each number
    in place of 3 log₂ T (Brent & Kung 1982).
    """
    if x.size <= _SMALL or reach <= 8:
        step = 1
        while step < reach:
            head = x[:-step]
            head += a[: len(head)] * x[step:]
            if 2 * step < reach:
                a = a[:-step] * a[step:]
            step *= 2
        return
    first = len(x) % 2  # of an odd number of them, the first one is in no pair
    early_a, late_a, early, late = a[first::2], a[first + 1 :: 2], x[first::2], x[first + 1 :: 2]
    pairs = early_a * late
    pairs += early
    _solve(early_a * late_a, pairs, reach // 2 + 1)
    early[:] = pairs
    between = slice(1 - first, -1, 2)
    x[between] += a[between] * pairs[1 - first :]
