"""Which dtypes a spec may have, and what each is called in numpy."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from keywork.specs._refusal import refusal

Kind: TypeAlias = Literal["float", "integer", "bool"]

# Wider unsigned integers are left out: torch can store them, but not clamp, compare or promote them.
_NUMPY: dict[torch.dtype, np.dtype[Any]] = {
    torch.bool: np.dtype(np.bool_),
    torch.uint8: np.dtype(np.uint8),
    torch.int8: np.dtype(np.int8),
    torch.int16: np.dtype(np.int16),
    torch.int32: np.dtype(np.int32),
    torch.int64: np.dtype(np.int64),
    torch.float16: np.dtype(np.float16),
    torch.bfloat16: np.dtype(np.float32),  # numpy has no bfloat16; float32 holds all its values
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}
_TORCH = {numpy: dtype for dtype, numpy in _NUMPY.items() if dtype is not torch.bfloat16}


def kind_of(dtype: torch.dtype) -> Kind | None:
    """``"float"``, ``"integer"`` or ``"bool"``; None for a dtype that no spec has."""
    if dtype not in _NUMPY:
        return None
    if dtype is torch.bool:
        return "bool"
    return "float" if dtype.is_floating_point else "integer"


def short(dtype: torch.dtype) -> str:
    """The dtype's name without the package: ``float32``."""
    return str(dtype).removeprefix("torch.")


def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """The dtype that values of this dtype have in numpy."""
    return _NUMPY[dtype]


def torch_dtype(dtype: np.dtype[Any], owner: str) -> torch.dtype:
    """The dtype that values of this numpy dtype have in torch.

    Raises:
        SpecError: torch cannot compute in it; ``owner`` is named as the one who asked.
    """
    if dtype.newbyteorder("=") in _TORCH:
        return _TORCH[dtype.newbyteorder("=")]
    raise refusal(
        f"{owner} cannot become a spec: torch does not compute in {dtype}.",
        where="its dtype",
        expected="one of " + ", ".join(str(name) for name in _TORCH),
        got=str(dtype),
        fix="convert it in the environment, as gymnasium.wrappers.DtypeObservation(env, np.int32) does",
    )


def require_dtype(dtype: torch.dtype, kinds: tuple[Kind, ...], owner: str, fix: str) -> torch.dtype:
    """The dtype, if it is of one of the kinds.

    Raises:
        SpecError: it is not; ``fix`` says what ``owner`` suggests instead.
    """
    if isinstance(dtype, torch.dtype) and kind_of(dtype) in kinds:
        return dtype
    raise refusal(
        f"{owner} cannot be built: its dtype does not suit it.",
        where="dtype",
        expected=", ".join(short(name) for name in _NUMPY if kind_of(name) in kinds),
        got=short(dtype) if isinstance(dtype, torch.dtype) else repr(dtype),
        fix=fix,
    )


def limits(dtype: torch.dtype) -> tuple[int, int]:
    """The least and the greatest number of an integer dtype; 0 and 1 for bool."""
    if dtype is torch.bool:
        return 0, 1
    info = torch.iinfo(dtype)
    return info.min, info.max
