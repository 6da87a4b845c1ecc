"""Zeros and ones, each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from keywork.specs._choices import as_count
from keywork.specs._dtypes import kind_of, require_dtype
from keywork.specs._spec import Shape
from keywork.specs._tensor_spec import TensorSpec, to_numpy


@final
class MultiBinary(TensorSpec):
    """Zeros and ones, each by itself.    v ∈ {0, 1}ⁿ

    Members may be bool, integer or floating. `project` takes what lies above one half to one. With dtype bool this is
    the spec of flags, such as ``done``. Its Gymnasium space is a MultiBinary; of flags, a Box of dtype bool.

    Args:
        n: how many, or a shape.
        dtype: of `rand`, `zero`, `project` and `encode`; any.
        device: where they put values.

    Raises:
        SpecError: a dimension is not positive.

    >>> Binary(1, dtype=torch.bool).zero(2)
    tensor([[False], [False]])
    >>> MultiBinary(3).project(torch.tensor([0.9, 0.5, -2.0]))
    tensor([1, 0, 0], dtype=torch.int8)
    """

    __slots__ = ()

    def __init__(
        self, n: int | Sequence[int], dtype: torch.dtype = torch.int8, device: torch.device | str | None = None
    ) -> None:
        require_dtype(dtype, ("bool", "integer", "float"), "MultiBinary", "MultiBinary(n, dtype=torch.bool)")
        super().__init__(n, dtype, device)
        for size in self._shape:
            as_count(size, "MultiBinary")

    @property
    def n(self) -> int | tuple[int, ...]:
        """How many; a shape, where there is not exactly one dimension."""
        return self._shape[0] if len(self._shape) == 1 else tuple(self._shape)

    @property
    def domain(self) -> str:
        """``bool``, or ``{0, 1}``."""
        return "bool" if self._dtype is torch.bool else "{0, 1}"

    def rand(self, batch_size: Shape = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Fair coins."""
        device = self._device if generator is None else generator.device
        coins = torch.randint(2, self._size(batch_size), device=device, generator=generator)
        return coins.to(self._device, self._dtype)

    def to_env(self, value: Any, name: str = "value") -> Any:
        """A numpy array of int8, or of bool for flags."""
        flags = self._dtype is torch.bool
        return to_numpy(self._formed(value, name, exact=False), torch.bool if flags else torch.int8)

    def to_gymnasium(self) -> spaces.MultiBinary | spaces.Box[Any]:
        """A MultiBinary, whose values are int8; for flags a Box of dtype bool."""
        if self._dtype is torch.bool:
            return spaces.Box(0, 1, tuple(self._shape), np.bool_)
        return spaces.MultiBinary(self.n)

    def _takes(self, dtype: torch.dtype) -> bool:
        return kind_of(dtype) is not None

    def _nearest(self, value: Tensor) -> Tensor:
        return (value > 0.5).to(value.dtype)

    def _arguments(self) -> dict[str, Any]:
        return {"n": tuple(self._shape), "dtype": self._dtype, "device": self._device}


Binary: TypeAlias = MultiBinary
