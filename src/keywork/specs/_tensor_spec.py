"""The base of all specs of one tensor: each adds its projection, and the rest follows from that."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._C._functorch import is_batchedtensor

from keywork._errors import SpecError
from keywork.specs._convert import to_tensor
from keywork.specs._dtypes import kind_of, numpy_dtype, require_dtype, short
from keywork.specs._refusal import describe, refusal
from keywork.specs._spec import Shape, Spec, as_shape


class TensorSpec(Spec):
    """A spec of one tensor.    member(v)  ⇔  nearest(v) = v

    A subclass says how to find the member that is nearest to a value (`_nearest`), how to draw (`rand`), and what its
    name, arguments and Gymnasium space are. That a value is inside, what is wrong with it and what zero is follow.
    A NaN or an infinity is nearest to nothing or to something else, and so is a member of no spec.

    Args:
        shape: without batch dimensions.
        dtype: of the stored values.
        device: of `rand`, `zero` and `encode`; None is torch's default device.
    """

    __slots__ = ("_device", "_dtype", "_shape")

    # Numbers (Bounded, Unbounded) are stored in one dtype; whole numbers that merely say *which* may come in any.
    _exact_dtype: ClassVar[bool] = False
    # Of what it is that a part of a value is inside or outside.
    _unit: ClassVar[str] = "elements"

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device | str | None) -> None:
        self._shape = as_shape(shape, type(self).__name__)
        self._dtype = dtype
        self._device = torch.empty(0, device=device).device  # "cuda" and None become the very device

    @property
    def shape(self) -> torch.Size:
        """The shape of one value, without batch dimensions."""
        return self._shape

    @property
    def dtype(self) -> torch.dtype:
        """The dtype in which values are stored."""
        return self._dtype

    @property
    def device(self) -> torch.device:
        """Where `rand`, `zero` and `encode` put values."""
        return self._device

    @abstractmethod
    def rand(self, batch_size: Shape = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Random members; see `Spec.rand`."""

    @abstractmethod
    def _nearest(self, value: Tensor) -> Tensor:
        """The nearest member, in the dtype of the value, which holds all of this spec's values; a NaN may stay."""

    def zero(self, batch_size: Shape = ()) -> Tensor:
        """The member nearest to zero: a bound, if the bounds exclude zero; the first choice of a one-hot."""
        return self._nearest(torch.zeros(self._size(batch_size), dtype=self._dtype, device=self._device))

    def is_in(self, value: Any) -> bool:
        """Whether the value is a tensor of this shape and dtype, and everywhere a member; a NaN never is."""
        if not isinstance(value, Tensor) or not self._accepts(value.dtype) or not self._fits(value.shape):
            return False
        value = self._widened(value)
        return torch.equal(self._nearest(value), value)

    def validate(self, value: Any, name: str = "value") -> Tensor:
        """The value itself, if `is_in`; otherwise SpecError says where it leaves the spec first."""
        tensor = self._formed(value, name, exact=True)
        wide = self._widened(tensor)
        nearest = self._nearest(wide)
        if torch.equal(nearest, wide):
            return tensor
        raise self._outside(tensor, nearest != wide, name)

    def project(self, value: Any, name: str = "value") -> Tensor:
        """The nearest member, in this spec's dtype; infinities go to the bounds.

        A NaN has no nearest member. On the CPU it is refused; on an accelerator, and under `torch.compile` and
        `torch.vmap`, looking would stop everything to wait for the answer, and a float stays NaN: there, `validate`.

        Raises:
            SpecError: the value has another shape or kind of dtype, or a NaN on the CPU.
        """
        tensor = self._formed(value, name, exact=False)
        if tensor.dtype.is_floating_point and _can_look(tensor) and bool(tensor.isnan().any()):
            raise self._outside(tensor, tensor.isnan(), name)
        return self._nearest(self._widened(tensor)).to(self._dtype)

    def encode(self, value: Any, name: str = "value") -> Tensor:
        """The environment's form as a tensor of this spec: a number, an array, a tensor, or lists of numbers.

        A numpy array of the spec's dtype is not copied on the CPU: the tensor shares its memory. The domain is not
        looked at: real environments leave the bounds that they declare.

        Raises:
            SpecError: the shape does not fit, or a number does not fit the dtype.
        """
        tensor = to_tensor(value, self._dtype, name)
        if not self._fits(tensor.shape):
            raise self._misshapen(value if hasattr(value, "shape") else tensor, name)
        return tensor.to(self._device)

    def to_env(self, value: Any, name: str = "value") -> Any:
        """The numpy array that the Gymnasium space of this spec contains; it shares the tensor's memory if it can.

        Where that space contains plain numbers (a Discrete), a value without dimensions becomes a numpy integer.

        Raises:
            SpecError: the value has another shape or kind of dtype. Its numbers are not looked at: see `validate`.
        """
        return to_numpy(self._formed(value, name, exact=False), self._dtype)

    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """The same spec on another device, or with another floating dtype if its own is one."""
        arguments = self._arguments()
        if not isinstance(target, torch.dtype):
            return type(self)(**{**arguments, "device": target})
        require_dtype(target, ("float",), f"{type(self).__name__} of {short(target)}", "build a new spec of this dtype")
        return type(self)(**{**arguments, "dtype": target}) if self._dtype.is_floating_point else self

    def _size(self, batch_size: Shape) -> torch.Size:
        return as_shape(batch_size, "A batch") + self._shape

    def _fits(self, shape: torch.Size) -> bool:
        return shape[len(shape) - len(self._shape) :] == self._shape

    def _takes(self, dtype: torch.dtype) -> bool:
        """Whether values of this dtype can be brought to this spec's."""
        return kind_of(dtype) == kind_of(self._dtype)

    def _accepts(self, dtype: torch.dtype) -> bool:
        """Whether members may have this dtype."""
        return dtype is self._dtype or (not self._exact_dtype and self._takes(dtype))

    def _widened(self, value: Tensor) -> Tensor:
        # A bound has to survive the comparison: in int8, 999 is no number.
        if value.dtype is self._dtype:
            return value
        return value.to(torch.promote_types(value.dtype, self._dtype))

    def _formed(self, value: Any, name: str, *, exact: bool) -> Tensor:
        """The value, if it is a tensor of the right shape and dtype, or at least kind of dtype."""
        if not isinstance(value, Tensor):
            raise self._refused(
                name, "it is no tensor", "the whole value", "a tensor", value, "spec.encode(value) makes one"
            )
        if not (self._accepts(value.dtype) if exact else self._takes(value.dtype)):
            fix = f"value.to({self._dtype}) casts it"
            if value.dtype.is_floating_point and not self._dtype.is_floating_point:
                fix = "value.argmax(-1) picks an index from scores, value.round().to(...) casts whole numbers"
            raise self._refused(name, "it has another dtype", "dtype", short(self._dtype), value, fix)
        if not self._fits(value.shape):
            raise self._misshapen(value, name)
        return value

    def _refused(self, name: str, problem: str, where: str, expected: str, value: Any, fix: str) -> SpecError:
        return refusal(
            f"{name} does not fit {self!r}: {problem}.", where=where, expected=expected, got=describe(value), fix=fix
        )

    def _misshapen(self, value: Any, name: str) -> SpecError:
        sizes = ", ".join(str(size) for size in self._shape)
        fix = f"its last dimensions have to be ({sizes}); batch dimensions go before them"
        if self._shape == (1,):
            fix = "value.unsqueeze(-1) adds the last dimension"
        return self._refused(name, "it has another shape", "shape", f"(*batch, {sizes})", value, fix)

    def _outside(self, value: Tensor, wrong: Tensor, name: str) -> SpecError:
        """The error of a value that is no member where ``wrong`` is true."""
        index = tuple(wrong.nonzero()[0].tolist())
        found = value[index]
        fix = self._remedy(value)
        if bool(found.isnan().any()):
            fix = "a NaN is in no spec: look for where it arises; torch.autograd.detect_anomaly() helps"
        return refusal(
            f"{name} is not in {self!r}: {int(wrong.sum())} of {wrong.numel()} {self._unit} are outside.",
            where=f"first at index {index}",
            expected=self._domain_at(index),
            got=f"{found.tolist()}, in {describe(value)}",
            fix=fix,
        )

    def _domain_at(self, index: tuple[int, ...]) -> str:
        """What may stand at this index of a batch."""
        return self.domain

    def _remedy(self, value: Tensor) -> str:
        """What to type, where a value of the right shape and dtype is outside."""
        return "spec.project(value) takes the nearest member"


def _can_look(value: Tensor) -> bool:
    """Whether reading a value costs no wait, and is possible at all: not so where tensors stand for others."""
    return (
        not torch.compiler.is_compiling()
        and value.device.type == "cpu"
        and type(value) in (Tensor, torch.nn.Parameter)
        and not is_batchedtensor(value)
    )


def to_numpy(value: Tensor, dtype: torch.dtype) -> NDArray[Any]:
    """The tensor in the numpy dtype that goes with this one; memory is shared where it can be."""
    value = value.detach().to("cpu", torch.float32 if dtype is torch.bfloat16 else dtype)
    array: NDArray[Any] = value.numpy()
    return array.astype(numpy_dtype(dtype), copy=False)
