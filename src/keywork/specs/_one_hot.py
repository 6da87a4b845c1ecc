"""One of n choices, as a vector with a single one."""

from __future__ import annotations

from typing import Any, final

import torch
from gymnasium import spaces
from torch import Tensor

from keywork._errors import SpecError
from keywork.specs._choices import as_count, as_start, index_array
from keywork.specs._convert import to_tensor
from keywork.specs._dtypes import kind_of, require_dtype
from keywork.specs._refusal import describe, refusal
from keywork.specs._spec import Shape
from keywork.specs._tensor_spec import TensorSpec


@final
class OneHot(TensorSpec):
    """Which of n choices, as a vector of zeros with a single one.    v = e_i,  i ∈ {0, ..., n - 1}

    Members may be bool, integer or floating. `project` takes the greatest element; of several, the first. The
    environment's form is the index: `encode` and `to_env` lead from it and back, and an index in place of a vector
    is refused. Its Gymnasium space is a Discrete, which `from_gymnasium` reads as a `Categorical`.

    Args:
        n: the number of choices.
        dtype: of `rand`, `zero`, `project` and `encode`; any.
        device: where they put values.
        start: what the environment calls the first choice.

    Raises:
        SpecError: n is not positive.

    >>> spec = OneHot(3)
    >>> spec.encode([2, 0]), spec.project(torch.tensor([0.2, 0.7, 0.7]))
    (tensor([[0, 0, 1], [1, 0, 0]]), tensor([0, 1, 0]))
    """

    __slots__ = ("_choices", "_n", "_start")
    _unit = "vectors"

    def __init__(
        self, n: int, dtype: torch.dtype = torch.int64, device: torch.device | str | None = None, *, start: int = 0
    ) -> None:
        require_dtype(dtype, ("bool", "integer", "float"), "OneHot", "OneHot(n, dtype=torch.float32)")
        self._n = as_count(n, "OneHot")
        self._start = as_start(start, self._n, torch.int64, "OneHot")
        super().__init__(self._n, dtype, device)
        self._choices = torch.arange(self._n, device=self._device)

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
        """``one-hot 4``."""
        return f"one-hot {self._n}"

    def rand(self, batch_size: Shape = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Uniform choices."""
        device = self._device if generator is None else generator.device
        size = (*self._size(batch_size)[:-1], 1)
        index = torch.randint(self._n, size, device=device, generator=generator)
        return self._vector(index.to(self._device)).to(self._dtype)

    def encode(self, value: Any, name: str = "value") -> Tensor:
        """Vectors, of the environment's numbers, which count from `start`.

        Raises:
            SpecError: a number is no choice: there is no vector for it.
        """
        index = to_tensor(value, torch.int64, name).to(self._device) - self._start
        vector = self._vector(index.unsqueeze(-1))
        chosen = vector.any(-1)
        if bool(chosen.all()):
            return vector.to(self._dtype)
        first = tuple((~chosen).nonzero()[0].tolist())
        raise refusal(
            f"{name} cannot be encoded as {self!r}: {int((~chosen).sum())} of {chosen.numel()} indices are no choice.",
            where=f"first at index {first}",
            expected=f"{self._start} to {self._start + self._n - 1}",
            got=f"{index[first].item() + self._start}, in {describe(value)}",
            fix="OneHot(n, start=...) of as many choices as the environment has, from its first",
        )

    def to_env(self, value: Any, name: str = "value") -> Any:
        """The environment's numbers, which count from `start`; a numpy integer, not an array, for a single one."""
        vector = self._formed(value, name, exact=False)
        return index_array(_argmax(vector).squeeze(-1), self._start, torch.int64)[()]

    def to_gymnasium(self) -> spaces.Discrete[Any]:
        """A Discrete: the environment's form is the index."""
        return spaces.Discrete(self._n, start=self._start)

    def _takes(self, dtype: torch.dtype) -> bool:
        return kind_of(dtype) is not None

    def _nearest(self, value: Tensor) -> Tensor:
        return self._vector(_argmax(value)).to(value.dtype)

    def _vector(self, index: Tensor) -> Tensor:
        """True where an element's place is the index, which has a last dimension of one."""
        choices = self._choices if index.device == self._device else self._choices.to(index.device)
        return index == choices

    def _misshapen(self, value: Any, name: str) -> SpecError:
        if isinstance(value, Tensor) and kind_of(value.dtype) == "integer":
            return self._refused(
                name,
                "it looks like an index",
                "shape",
                f"vectors with a single one, of shape (*batch, {self._n})",
                value,
                "spec.encode(index) makes vectors of indices; Categorical(n) is the spec of indices",
            )
        return super()._misshapen(value, name)

    def _outside(self, value: Tensor, wrong: Tensor, name: str) -> SpecError:
        # An element by itself is not wrong: a vector is.
        return super()._outside(value, wrong.any(-1), name)

    def _remedy(self, value: Tensor) -> str:
        if kind_of(value.dtype) == "integer":
            return "spec.encode(index), if these are indices, makes vectors of them"
        return "spec.project(value) makes the greatest element the one"

    def _arguments(self) -> dict[str, Any]:
        return {"n": self._n, "dtype": self._dtype, "device": self._device, "start": self._start}


def _argmax(value: Tensor) -> Tensor:
    return (value.to(torch.uint8) if value.dtype is torch.bool else value).argmax(-1, keepdim=True)
