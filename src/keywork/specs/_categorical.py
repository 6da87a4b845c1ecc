"""One of n choices, as an index."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from keywork.specs._choices import as_count, as_start, index_array
from keywork.specs._dtypes import numpy_dtype, require_dtype
from keywork.specs._interval import interval_text
from keywork.specs._spec import Shape
from keywork.specs._tensor_spec import TensorSpec


@final
class Categorical(TensorSpec):
    """Which of n choices, as an index.    v ∈ {0, ..., n - 1}

    Indices count from 0, always. An environment that counts from elsewhere (a Gymnasium Discrete with a start) has it
    added by `to_env` and taken off by `encode`. Members may have any integer dtype. `project` clamps.

    Args:
        n: the number of choices.
        shape: without batch dimensions; the elements are independent.
        dtype: an integer dtype that holds ``start + n - 1``.
        device: where `rand`, `zero` and `encode` put values.
        start: what the environment calls the first choice.

    Raises:
        SpecError: n is not positive, or the dtype is not an integer's or too small.

    >>> spec = Categorical(3, start=1)
    >>> spec.encode([1, 3]), spec.to_env(torch.tensor([0, 2]))
    (tensor([0, 2]), array([1, 3]))
    """

    __slots__ = ("_n", "_start")

    def __init__(
        self,
        n: int,
        shape: Shape = (),
        dtype: torch.dtype = torch.int64,
        device: torch.device | str | None = None,
        *,
        start: int = 0,
    ) -> None:
        require_dtype(dtype, ("integer",), "Categorical", "Categorical(n), or OneHot(n, dtype=torch.float32)")
        self._n = as_count(n, "Categorical")
        self._start = as_start(start, self._n, dtype, "Categorical")
        super().__init__(shape, dtype, device)

    @property
    def n(self) -> int:
        """The number of choices."""
        return self._n

    @property
    def start(self) -> int:
        """What the environment calls the first choice."""
        return self._start

    @property
    def domain(self) -> str:
        """``{0..3}``."""
        return interval_text(0, self._n - 1)

    def rand(self, batch_size: Shape = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Uniform choices."""
        device = self._device if generator is None else generator.device
        size = self._size(batch_size)
        return torch.randint(self._n, size, dtype=self._dtype, device=device, generator=generator).to(self._device)

    def encode(self, value: Any, name: str = "value") -> Tensor:
        """Indices from 0, of the environment's numbers, which count from `start`."""
        numbers = super().encode(value, name)
        return numbers - self._start if self._start else numbers

    def to_env(self, value: Any, name: str = "value") -> Any:
        """The environment's numbers, which count from `start`; a numpy integer, not an array, for a single one."""
        return index_array(self._formed(value, name, exact=False), self._start, self._dtype)[()]

    def to_gymnasium(self) -> spaces.Discrete[Any] | spaces.MultiDiscrete[Any]:
        """A Discrete; for a shape, a MultiDiscrete with n choices everywhere."""
        dtype = numpy_dtype(self._dtype)
        if len(self._shape) == 0:
            # Only newer Gymnasiums know Discretes of another dtype than int64.
            other: dict[str, Any] = {} if self._dtype is torch.int64 else {"dtype": dtype.type}
            return spaces.Discrete(self._n, start=self._start, **other)
        size = tuple(self._shape)
        return spaces.MultiDiscrete(np.full(size, self._n), dtype=dtype.type, start=np.full(size, self._start))

    def _nearest(self, value: Tensor) -> Tensor:
        return value.clamp(0, self._n - 1)

    def _arguments(self) -> dict[str, Any]:
        return {
            "n": self._n,
            "shape": tuple(self._shape),
            "dtype": self._dtype,
            "device": self._device,
            "start": self._start,
        }
