"""How the scores of choices that have an order become logits."""

from __future__ import annotations

from torch import Tensor

from keywork._errors import SpecError

from ._base import HALF
from ._logits import require_floating


def ordinal_logits(owner: str, scores: Tensor) -> Tensor:
    """s₀ + … + sₖ for each k, unnormalised; in float32 for float16 and bfloat16.

    Raises:
        SpecError: the scores have no dimension, or are no floating-point numbers.
    """
    if scores.ndim < 1:
        raise SpecError(
            f"{owner} cannot be built: its scores have no dimension, and the last one must be the number of choices. "
            "Pass a tensor of shape [*batch, n]."
        )
    require_floating(owner, "scores", scores)
    return (scores.float() if scores.dtype in HALF else scores).cumsum(-1)
