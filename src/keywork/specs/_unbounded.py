"""Any finite number."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from gymnasium import spaces
from torch import Tensor

from keywork.specs._dtypes import numpy_dtype, require_dtype
from keywork.specs._spec import Shape
from keywork.specs._tensor_spec import TensorSpec


@final
class Unbounded(TensorSpec):
    """Any finite numbers.    v ∈ ℝ, or ℤ

    A NaN or an infinity is no member; `project` takes an infinity to the greatest number of the dtype.
    `rand` is standard normal, rounded down for integers. Its Gymnasium space is an unbounded Box.

    Args:
        shape: without batch dimensions.
        dtype: floating, or a signed integer (an unsigned one is bounded by 0).
        device: where `rand`, `zero` and `encode` put values.

    Raises:
        SpecError: the dtype is unsigned or bool.

    >>> Unbounded(3).zero(2).shape, Unbounded(3).is_in(torch.tensor([0.0, 1e30, float("inf")]))
    (torch.Size([2, 3]), False)
    """

    __slots__ = ()
    _exact_dtype = True

    def __init__(
        self, shape: Shape = (), dtype: torch.dtype = torch.float32, device: torch.device | str | None = None
    ) -> None:
        fix = "Bounded(0, 255, dtype=torch.uint8), or Binary(n, dtype=torch.bool)"
        require_dtype(dtype, ("float", "integer"), "Unbounded", fix)
        if dtype is torch.uint8:
            require_dtype(dtype, ("float",), "Unbounded", fix)
        super().__init__(shape, dtype, device)

    @property
    def domain(self) -> str:
        """``real``, or ``integer``."""
        return "real" if self._dtype.is_floating_point else "integer"

    def rand(self, batch_size: Shape = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Standard normal numbers, rounded down for integers."""
        device = self._device if generator is None else generator.device
        z = torch.randn(self._size(batch_size), device=device, generator=generator)
        return (z if self._dtype.is_floating_point else z.floor()).to(self._device, self._dtype)

    def to_gymnasium(self) -> spaces.Box[Any]:
        """A Box without bounds."""
        return spaces.Box(-math.inf, math.inf, tuple(self._shape), numpy_dtype(self._dtype))

    def _nearest(self, value: Tensor) -> Tensor:
        if not value.dtype.is_floating_point:
            return value
        most = torch.finfo(self._dtype).max
        return value.clamp(-most, most)

    def _arguments(self) -> dict[str, Any]:
        return {"shape": tuple(self._shape), "dtype": self._dtype, "device": self._device}
