"""Numbers between bounds."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from keywork.specs._dtypes import limits, numpy_dtype, require_dtype, short
from keywork.specs._interval import bad_bound, clamped, draw, interval_text, read_bound
from keywork.specs._plain import plain
from keywork.specs._spec import Shape, as_shape
from keywork.specs._tensor_spec import TensorSpec, to_numpy


@final
class Bounded(TensorSpec):
    """Finite numbers between bounds, both included.    low ≤ v ≤ high

    Bounds are rounded to the dtype, to the nearest number: a value that is cast to the dtype the same way stays inside.
    A missing bound is -inf or inf; an infinity is a member nevertheless never, and `project` takes it to the bound or
    to the greatest number of the dtype.

    `rand` is uniform between two bounds, exponential from a single one, normal without any, element by element, as
    Gymnasium's Box is. For integers it is the whole number below such a draw on [low, high + 1), and a bound at the
    limit of int32 or int64 counts as none.

    Args:
        low: a number, or numbers broadcastable to the shape: list, array or tensor.
        high: likewise.
        shape: without batch dimensions; None takes that of the bounds.
        dtype: floating or integer (for bool there is `Binary`).
        device: where the bounds are, and where `rand`, `zero` and `encode` put values.

    Raises:
        SpecError: a bound is NaN, is no number of the dtype, or does not fit the shape; low lies above high.

    >>> spec = Bounded(-1.0, [1.0, 2.0])
    >>> spec.project(torch.tensor([[3.0, 3.0], [0.5, -7.0]]))
    tensor([[ 1.0000,  2.0000],
            [ 0.5000, -1.0000]])
    >>> Bounded(0, 255, shape=(3, 84, 84), dtype=torch.uint8).domain
    '{0..255}'
    """

    __slots__ = ("_domain", "_finite", "_high", "_least", "_low", "_most", "_plain")
    _exact_dtype = True

    def __init__(
        self,
        low: Any,
        high: Any,
        shape: Shape | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        require_dtype(dtype, ("float", "integer"), "Bounded", "Binary(n, dtype=torch.bool)")
        lower, upper = _fitted(read_bound(low, "low", dtype), read_bound(high, "high", dtype), shape, dtype)
        super().__init__(lower.shape, dtype, device)
        # Identity is read off before the bounds go to a device where looking at them would mean waiting.
        self._plain, self._domain = (plain(lower), plain(upper)), _domain(lower, upper)
        self._finite = all(bool(end.isfinite().all()) for end in _ends(lower, upper))
        self._low, self._high = lower.to(self._device), upper.to(self._device)
        self._least, self._most = self._low, self._high
        if dtype.is_floating_point:
            most = torch.finfo(dtype).max
            self._least, self._most = self._low.clamp(min=-most), self._high.clamp(max=most)

    @property
    def low(self) -> Tensor:
        """Lower bounds: a tensor of the spec's shape, dtype and device. Not to be written to."""
        return self._low

    @property
    def high(self) -> Tensor:
        """Upper bounds, likewise."""
        return self._high

    @property
    def domain(self) -> str:
        """``[-1, 1]`` or ``{0..255}``; the hull of all intervals, where elements have different ones."""
        return self._domain

    def rand(self, batch_size: Shape = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Uniform between two bounds, exponential from one, normal without any; see the class."""
        low, high = _ends(self._low, self._high)
        size = self._size(batch_size)
        if self._dtype.is_floating_point:
            return self._nearest(draw(low, high, size, generator, finite=self._finite).to(self._dtype))
        value = draw(low, high + 1, size, generator, finite=self._finite).floor()
        # Clamped as a real number, for a cast from outside the dtype is undefined; 2**63 - 1 is no float64.
        last = self._high.double().clamp(max=2.0**63 - 1024)
        return self._nearest(torch.clamp(value, self._low.double(), last).to(self._dtype))

    def to_gymnasium(self) -> spaces.Box[Any]:
        """A Box of the same bounds."""
        low, high = (
            # Of an integer that has no bound, Gymnasium wants to be told so by a single infinity.
            end if isinstance(end, float) and math.isinf(end) else to_numpy(bound, self._dtype)
            for bound, end in zip((self._low, self._high), map(plain, _ends(self._low, self._high)), strict=True)
        )
        return spaces.Box(low, high, tuple(self._shape), numpy_dtype(self._dtype))

    def _nearest(self, value: Tensor) -> Tensor:
        return clamped(value, self._least, self._most)

    def _domain_at(self, index: tuple[int, ...]) -> str:
        place = index[len(index) - len(self._shape) :]
        return interval_text(self._low[place].item(), self._high[place].item())

    def _arguments(self) -> dict[str, Any]:
        return {
            "low": self._plain[0],
            "high": self._plain[1],
            "shape": tuple(self._shape),
            "dtype": self._dtype,
            "device": self._device,
        }


def _fitted(low: Any, high: Any, shape: Shape | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Both bounds as tensors of one shape and of this dtype, if a finite number lies between them everywhere."""
    given = None if shape is None else tuple(as_shape(shape, "Bounded"))
    try:
        size = np.broadcast_shapes(low.shape, high.shape) if given is None else given
        low, high = np.broadcast_to(low, size), np.broadcast_to(high, size)
    except ValueError:
        wanted = "one shape" if given is None else f"numbers, or arrays broadcastable to {given}"
        raise bad_bound("shape", "the bounds do not fit", wanted, f"low {low.shape}, high {high.shape}") from None
    lower, upper = torch.tensor(low), torch.tensor(high)
    wrong = lower > upper  # before they are rounded, which may make them equal
    lower, upper = lower.to(dtype), upper.to(dtype)
    wrong = wrong | (lower == math.inf) | (upper == -math.inf)
    if bool(wrong.any()):
        index = tuple(wrong.nonzero()[0].tolist())
        got = f"low {low[index].item()}, high {high[index].item()}"
        raise bad_bound(f"index {index}", f"no {short(dtype)} lies between its bounds", "low <= high", got)
    return lower, upper


def _ends(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds as real numbers, infinite where there is none."""
    if low.dtype.is_floating_point:
        real = torch.promote_types(low.dtype, torch.float32)
        return low.to(real), high.to(real)
    real_low, real_high = low.double(), high.double()
    if low.dtype in (torch.int32, torch.int64):
        first, last = limits(low.dtype)
        real_low = real_low.masked_fill(low == first, -math.inf)
        real_high = real_high.masked_fill(high == last, math.inf)
    return real_low, real_high


def _domain(low: Tensor, high: Tensor) -> str:
    if low.numel() == 0:
        return "empty"
    text = interval_text(low.min().item(), high.max().item())
    uniform = bool((low == low.min()).all() & (high == high.max()).all())
    return text if uniform else f"within {text}"  # each element in its own part of that
