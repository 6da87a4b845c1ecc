"""What an environment hands over, as a tensor: without a copy where there need not be one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from keywork._errors import SpecError
from keywork.specs._dtypes import kind_of, limits, short
from keywork.specs._refusal import describe, refusal


def to_tensor(value: Any, dtype: torch.dtype, name: str) -> Tensor:
    """The value as a tensor of this dtype, with no number changed but by the rounding of floats.

    A numpy array of the right dtype shares its memory with the tensor. Into an integer dtype go integers that fit it.

    Args:
        value: a number, an array, a tensor, or lists of numbers.
        dtype: of the tensor.
        name: what messages call the value.

    Raises:
        SpecError: the value is no array of numbers, or its numbers do not fit the dtype.
    """
    tensor = value if isinstance(value, Tensor) else _shared(value, name)
    if tensor.dtype is dtype:
        return tensor
    if kind_of(tensor.dtype) is None:
        raise _not_numbers(value, name)
    if tensor.numel() and kind_of(dtype) != "float":
        _require_whole(tensor, dtype, value, name)
    return tensor.to(dtype)


def _require_whole(tensor: Tensor, dtype: torch.dtype, value: Any, name: str) -> None:
    """Make sure that every number of the tensor is one of the integer dtype's."""
    low, high = limits(dtype)
    what, expected = f"{name} cannot be encoded as {short(dtype)}", f"integers from {low} to {high}"
    if tensor.dtype.is_floating_point:
        fix = "numpy.rint(value).astype(int), if these are whole numbers"
        raise refusal(
            f"{what}: it has a floating dtype.", where="dtype", expected=expected, got=describe(value), fix=fix
        )
    if torch.promote_types(tensor.dtype, dtype) is dtype:
        return
    least, most = (int(end) for end in torch.aminmax(tensor.to(torch.int64)))
    if least < low or most > high:
        got, fix = f"{least} to {most}, in {describe(value)}", "give the spec a dtype that holds them"
        raise refusal(f"{what}: its numbers do not fit.", where="its range", expected=expected, got=got, fix=fix)


def _shared(value: Any, name: str) -> Tensor:
    try:
        array: NDArray[Any] = np.asarray(value)
        if array.dtype.kind == "u" and array.dtype.itemsize > 1:
            array = array.astype(np.int64, casting="safe")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        # torch shares no memory that is read-only, and none that is walked backwards.
        if not array.flags.writeable or min(array.strides, default=0) < 0:
            array = array.copy()
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:  # ragged lists, words, tensors on an accelerator, uint64, longdouble
        raise _not_numbers(value, name) from error


def _not_numbers(value: Any, name: str) -> SpecError:
    return refusal(
        f"{name} cannot be encoded: it is no array of numbers that torch can hold.",
        where="the whole value",
        expected="a number, an array or a tensor, or regular lists of numbers",
        got=describe(value),
        fix="numpy.asarray(value, dtype=...) makes an array of it, if it is one",
    )
