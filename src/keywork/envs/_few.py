"""Looking at a few numbers: an array's way through numpy takes longer than numbers of Python do."""

from __future__ import annotations

import math

import numpy as np

FEW = 32  # up to here, numbers are looked at as such


def few_and_finite(array: np.ndarray) -> bool:
    """Whether an array is small and all its numbers are finite: a sum with a NaN or an infinity in it is not finite.

    False says nothing: a sum of large numbers may not be finite either.

    >>> few_and_finite(np.ones(3)), few_and_finite(np.array([np.inf, -np.inf])), few_and_finite(np.ones(99))
    (True, False, False)
    """
    return array.size <= FEW and math.isfinite(sum(array.ravel().tolist()))
