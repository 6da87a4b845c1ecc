"""What the specs of choices share: counts, and the number from which an environment counts."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from keywork.specs._dtypes import limits, short
from keywork.specs._refusal import refusal
from keywork.specs._tensor_spec import to_numpy


def as_count(n: Any, owner: str) -> int:
    """A number of choices.

    Raises:
        SpecError: it is no positive whole number.
    """
    if not isinstance(n, bool) and hasattr(n, "__index__") and operator.index(n) > 0:
        return operator.index(n)
    raise refusal(
        f"{owner} cannot be built: it needs something to choose from.",
        where="n",
        expected="a positive whole number",
        got=repr(n),
        fix=f"{owner}(4)",
    )


def as_start(start: Any, n: int, dtype: torch.dtype, owner: str) -> int:
    """What an environment calls the first of n choices.

    Raises:
        SpecError: it is no whole number, or the dtype does not hold what the environment calls the n choices.
    """
    low, high = limits(dtype)
    if hasattr(start, "__index__") and low <= operator.index(start) <= high - n + 1:
        return operator.index(start)
    raise refusal(
        f"{owner} cannot be built: {short(dtype)} does not hold its choices.",
        where="n, start and dtype",
        expected=f"whole numbers from {low} to {high}",
        got=f"{n} choices, the first of them {start!r}",
        fix="dtype=torch.int64",
    )


def index_array(value: Tensor, start: Any, dtype: torch.dtype) -> NDArray[Any]:
    """Indices as an environment counts them, from ``start``."""
    array: NDArray[Any] = to_numpy(value, dtype)
    # Of arrays without dimensions numpy makes the sum a number, which it is not for us to decide.
    return np.asarray(array + np.asarray(start, dtype=array.dtype)) if np.any(start) else array
