"""Several choices at once, each with a number of choices of its own."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from keywork._errors import SpecError
from keywork.specs._choices import as_start, index_array
from keywork.specs._dtypes import numpy_dtype, require_dtype
from keywork.specs._interval import clamped, interval_text
from keywork.specs._plain import as_tuples, plain
from keywork.specs._refusal import refusal
from keywork.specs._spec import Shape
from keywork.specs._tensor_spec import TensorSpec


@final
class MultiDiscrete(TensorSpec):
    """Several choices at once, as indices.    v_k ∈ {0, ..., nvec_k - 1}

    Indices count from 0, always; `to_env` and `encode` add and take off what the environment counts from. Members may
    have any integer dtype. `project` clamps.

    Args:
        nvec: the numbers of choices, of any shape: lists, array or tensor.
        dtype: an integer dtype that holds ``start + nvec - 1``.
        device: where `rand`, `zero` and `encode` put values.
        start: what the environment calls each first choice; a number, or numbers broadcastable to nvec.

    Raises:
        SpecError: a number of choices is not positive, or the dtype is not an integer's or too small.

    >>> spec = MultiDiscrete([2, 5])
    >>> spec.domain, spec.project(torch.tensor([[7, 3], [-1, 9]]))
    ('{0..1} × {0..4}', tensor([[1, 3], [0, 4]]))
    """

    __slots__ = ("_counts", "_least", "_most", "_nvec", "_start")

    def __init__(
        self, nvec: Any, dtype: torch.dtype = torch.int64, device: torch.device | str | None = None, *, start: Any = 0
    ) -> None:
        require_dtype(dtype, ("integer",), "MultiDiscrete", "MultiDiscrete([2, 5]), without a dtype")
        counts, starts = _whole(nvec, "nvec"), _whole(start, "start")
        if counts.size and counts.min() < 1:
            raise _misfit("nvec", "positive whole numbers", repr(nvec))
        try:
            starts = np.broadcast_to(starts, counts.shape)
        except ValueError:
            raise _misfit("start", f"numbers broadcastable to {counts.shape}", repr(start)) from None
        for n, first in zip(counts.flatten().tolist(), starts.flatten().tolist(), strict=True):
            as_start(first, n, dtype, "MultiDiscrete")
        super().__init__(counts.shape, dtype, device)
        self._counts = counts.copy()
        self._nvec = torch.tensor(counts, device=self._device)
        self._most = (self._nvec - 1).to(dtype)
        self._least = torch.zeros_like(self._most)
        self._start = starts.copy()

    @property
    def nvec(self) -> Tensor:
        """The numbers of choices: an int64 tensor of the spec's shape. Not to be written to."""
        return self._nvec

    @property
    def start(self) -> Tensor:
        """What the environment calls each first choice, likewise."""
        return torch.tensor(self._start, device=self._device)

    @property
    def domain(self) -> str:
        """``{0..1} × {0..4}``; ``{0..4}`` where all are alike, and ``within {0..4}`` where there are many."""
        counts = self._counts.flatten().tolist()
        if not counts:
            return "empty"
        if len(set(counts)) == 1:
            return interval_text(0, counts[0] - 1)
        if len(counts) > 4:
            return f"within {interval_text(0, max(counts) - 1)}"
        return " × ".join(interval_text(0, count - 1) for count in counts)

    def rand(self, batch_size: Shape = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Uniform and independent choices (as uniform as 53 random bits can be)."""
        device = self._device if generator is None else generator.device
        u = torch.rand(self._size(batch_size), dtype=torch.float64, device=device, generator=generator)
        return self._nearest((u.to(self._device) * self._nvec).to(self._dtype))

    def encode(self, value: Any, name: str = "value") -> Tensor:
        """Indices from 0, of the environment's numbers, which count from `start`."""
        numbers = super().encode(value, name)
        return numbers - self.start.to(numbers.dtype) if self._start.any() else numbers

    def to_env(self, value: Any, name: str = "value") -> Any:
        """The environment's numbers, which count from `start`."""
        return index_array(self._formed(value, name, exact=False), self._start, self._dtype)

    def to_gymnasium(self) -> spaces.MultiDiscrete[Any]:
        """The MultiDiscrete of the same choices."""
        dtype = numpy_dtype(self._dtype)
        return spaces.MultiDiscrete(self._counts, dtype=dtype.type, start=self._start)

    def _nearest(self, value: Tensor) -> Tensor:
        return clamped(value, self._least, self._most)

    def _domain_at(self, index: tuple[int, ...]) -> str:
        place = index[len(index) - len(self._shape) :]
        return interval_text(0, int(self._most[place]))

    def _arguments(self) -> dict[str, Any]:
        return {
            "nvec": as_tuples(self._counts.tolist()),
            "dtype": self._dtype,
            "device": self._device,
            "start": plain(torch.from_numpy(self._start)),
        }


def _whole(numbers: Any, name: str) -> Any:
    if isinstance(numbers, Tensor):
        numbers = numbers.detach().cpu().numpy()
    array = np.asarray(numbers)
    if array.dtype.kind in "iu" or array.size == 0:
        return array.astype(np.int64)
    raise _misfit(name, "whole numbers", repr(numbers))


def _misfit(where: str, expected: str, got: str) -> SpecError:
    return refusal(
        "MultiDiscrete cannot be built: its arguments do not fit.",
        where=where,
        expected=expected,
        got=got,
        fix="MultiDiscrete([2, 5]), or MultiDiscrete([[2, 5], [3, 3]]) for two dimensions",
    )
