"""Intervals: bounds read from whatever they come as, written in a few characters, and drawn between."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from keywork._errors import SpecError
from keywork.specs._dtypes import kind_of, limits, short
from keywork.specs._refusal import describe, refusal


def read_bound(bound: Any, name: str, dtype: torch.dtype) -> NDArray[Any]:
    """One bound as an array of float64; of int64 for an integer dtype, where an infinity becomes the dtype's limit.

    Raises:
        SpecError: it is no number, a NaN, no whole number where the dtype wants one, or beyond the dtype's limits.
    """
    if isinstance(bound, Tensor):
        bound = bound.detach().cpu()
        bound = (bound.double() if bound.dtype.is_floating_point else bound).numpy()
    array: NDArray[Any] = np.asarray(bound)
    if array.dtype.kind not in "biuf":
        raise bad_bound(name, "a bound is no number", "a number, or an array of numbers", describe(bound))
    array = array.astype(np.int64) if array.dtype.kind == "b" else array
    if np.isnan(array).any():
        raise bad_bound(name, "a bound is NaN", "numbers; -inf or inf where there is no bound", describe(bound))
    if kind_of(dtype) == "float":
        return array.astype(np.float64)
    low, high = limits(dtype)
    below, above = np.isneginf(array), np.isposinf(array)
    whole = np.where(below | above, 0, array)
    # Compared as Python numbers, which are exact: 2**63 and 2**63 - 1 are one float64.
    if whole.size and (whole.min().item() < low or whole.max().item() > high or (whole != np.floor(whole)).any()):
        problem = f"{short(dtype)} has no such number"
        raise bad_bound(name, problem, f"whole numbers from {low} to {high}", describe(bound))
    return np.where(below, low, np.where(above, high, whole.astype(np.int64)))


def bad_bound(where: str, problem: str, expected: str, got: str) -> SpecError:
    """The error of a bound that cannot be one."""
    return refusal(
        f"Bounded cannot be built: {problem}.",
        where=where,
        expected=expected,
        got=got,
        fix="Bounded(-1.0, 1.0, shape=(3,)), or Bounded([-1.0, 0.0], [1.0, inf]) for bounds by element",
    )


def interval_text(low: float, high: float) -> str:
    """An interval in a few characters.

    >>> interval_text(-1.0, 2.5), interval_text(0.0, math.inf), interval_text(0, 255), interval_text(2, 2)
    ('[-1, 2.5]', '[0, inf)', '{0..255}', '{2}')
    """
    if isinstance(low, int):
        return f"{{{low}}}" if low == high else f"{{{low}..{high}}}"
    left = "(-inf" if low == -math.inf else f"[{low:g}"
    right = "inf)" if high == math.inf else f"{high:g}]"
    return f"{left}, {right}"


def clamped(value: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """The value between two bounds, which follow it to its device."""
    if value.device != least.device:
        least, most = least.to(value.device), most.to(value.device)
    return torch.clamp(value, least, most)


def draw(low: Tensor, high: Tensor, size: torch.Size, generator: torch.Generator | None, *, finite: bool) -> Tensor:
    """Real numbers between bounds, each by the law that its bounds suggest.

        [a, b]   uniform: a (1 - u) + b u         (-∞, b]   b - e
        [a, ∞)   a + e                            (-∞, ∞)   z

    with u uniform on [0, 1), e = -log(1 - u) exponential, and z normal. These are the laws of Gymnasium's Box.

    Args:
        low: lower bounds, float32 or float64, broadcastable to ``size``; -inf for none.
        high: upper bounds, likewise.
        size: of the result.
        generator: where the randomness is from; None is torch's global generator of the bounds' device.
        finite: whether all bounds are known to be finite, which saves half of the work.
    """
    # A generator can only draw on its own device.
    options: dict[str, Any] = {
        "dtype": low.dtype,
        "device": low.device if generator is None else generator.device,
        "generator": generator,
    }
    u = torch.rand(size, **options).to(low.device)
    if finite:
        return low * (1 - u) + high * u
    z = torch.randn(size, **options).to(low.device)
    has_low, has_high = low > -math.inf, high < math.inf
    a, b = low.where(has_low, 0.0), high.where(has_high, 0.0)
    e = -torch.log1p(-u)
    unequal = torch.where(has_low, a + e, torch.where(has_high, b - e, z))
    return torch.where(has_low & has_high, a * (1 - u) + b * u, unequal)
