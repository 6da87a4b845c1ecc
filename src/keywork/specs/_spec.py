"""What every spec can do, be it of one tensor or of a whole TensorDict."""

from __future__ import annotations

import operator
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, Self, TypeAlias

import torch
from gymnasium import Space

from keywork.specs._refusal import refusal

Shape: TypeAlias = int | Sequence[int]


class Spec(ABC):
    """What a key holds: shape without batch dimensions, dtype, and domain.

    A spec is a value: it cannot be changed, two specs that say the same are equal and have one hash, and it can be
    sent to another process. `TensorSpec` is the base of those that describe one tensor, `Composite` describes a
    TensorDict of them. Wherever a spec is asked for, a Gymnasium space will do (`as_spec`).

    Two forms of a value occur. *Our form* is a tensor, or a TensorDict, with any number of leading batch dimensions;
    it is what `rand`, `zero`, `project` and `encode` return and `is_in` and `validate` examine. *The environment's
    form* is what the Gymnasium space of the same spec contains: numpy arrays, and dicts and tuples of them.
    `encode` leads from the second to the first, `to_env` back.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """The shape of one value, without batch dimensions."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The dtype in which values are stored."""

    @property
    @abstractmethod
    def device(self) -> torch.device | None:
        """Where `rand`, `zero` and `encode` put values. The other methods work where the value is."""

    @property
    @abstractmethod
    def domain(self) -> str:
        """Which values there are, in a few characters for a table: ``[-1, 1]``, ``{0..3}``, ``one-hot 4``."""

    @abstractmethod
    def rand(self, batch_size: Shape = (), *, generator: torch.Generator | None = None) -> Any:
        """Random members; always inside, always finite.

        Args:
            batch_size: the leading dimensions.
            generator: draw from this generator, and leave torch's global one alone.
        """

    @abstractmethod
    def zero(self, batch_size: Shape = ()) -> Any:
        """The member nearest to zero: zero itself, where the spec has it."""

    @abstractmethod
    def is_in(self, value: Any) -> bool:
        """Whether the value, in our form, is a member: `validate` without the message."""

    @abstractmethod
    def project(self, value: Any, name: str = "value") -> Any:
        """The member nearest to the value; as in every method that can refuse one, ``name`` is what it is called."""

    @abstractmethod
    def validate(self, value: Any, name: str = "value") -> Any:
        """The value itself, if it is a member.

        Args:
            value: what to examine, in our form.
            name: what the message calls it.

        Raises:
            SpecError: it is no member; says where first, what was expected and what there is.
        """

    @abstractmethod
    def encode(self, value: Any, name: str = "value") -> Any:
        """The environment's form of a value turned into ours, without looking at the domain."""

    @abstractmethod
    def to_env(self, value: Any, name: str = "value") -> Any:
        """Our form of a value turned into the environment's, without looking at the domain."""

    @abstractmethod
    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """The same spec on another device, or with another floating dtype (integers and bools keep theirs)."""

    @abstractmethod
    def to_gymnasium(self) -> Space[Any]:
        """The Gymnasium space of the same values, in the environment's form."""

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """Arguments that build an equal spec: plain, hashable values. All of a spec's identity is here."""

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or not isinstance(other, Spec):
            return NotImplemented
        return self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments().values()))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._arguments()), ()

    def __repr__(self) -> str:
        arguments = self._arguments()
        unsaid = {"device": torch.device("cpu"), "start": 0}
        said = {name: value for name, value in arguments.items() if name not in unsaid or value != unsaid[name]}
        # Bounds may have as many numbers as an image has pixels.
        texts = (f"{n}={reprlib.repr(v) if isinstance(v, tuple) else repr(v)}" for n, v in said.items())
        return f"{type(self).__name__}({', '.join(texts)})"


def as_shape(shape: Shape, owner: str) -> torch.Size:
    """A shape from a number or a sequence of numbers.

    Raises:
        SpecError: a dimension is no whole number, or negative.
    """
    try:
        sizes = [operator.index(size) for size in (shape if isinstance(shape, Sequence) else (shape,))]
    except TypeError:
        sizes = [-1]
    if all(size >= 0 for size in sizes):
        return torch.Size(sizes)
    raise refusal(
        f"{owner} has no such shape.",
        where="shape",
        expected="a whole number, or a sequence of them, none negative",
        got=repr(shape),
        fix="shape=(3,) for three numbers, shape=() for one",
    )
