"""A choice among n that have an order, as a one-hot vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ._one_hot_choice import OneHotChoice
from ._ordinal_scores import ordinal_logits


class OneHotOrdinal(OneHotChoice):
    """P(a = eₖ) ∝ Πᵢ≤ₖ σ(sᵢ) · Πᵢ>ₖ σ(−sᵢ) for n choices that have an order; a is an int64 vector ``[*batch, n]``.

    The distribution of ``Ordinal``, which explains the scores, with the values of ``OneHotCategorical``: MODE, MEAN and
    DETERMINISTIC are the one-hot vector of the likeliest choice, a single one also where several tie, and ``rsample``
    is straight-through, with ``has_rsample`` False.

    Args:
        scores: real numbers ``[*batch, n]``.
        validate_args: True checks the values of the scores, and that scored values are one-hot; this waits for the
            device.

    Raises:
        SpecError: the scores have no dimension.

    >>> import torch
    >>> OneHotOrdinal(torch.tensor([0.0, 1.0, -1.0])).mode
    tensor([0, 1, 0])
    """

    def __init__(self, scores: Tensor, *, validate_args: bool | None = None) -> None:
        self.scores = scores
        super().__init__(ordinal_logits(type(self).__name__, scores), validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> OneHotOrdinal:
        """The same distribution over a larger batch."""
        return OneHotOrdinal(self.scores.expand(*batch_shape, -1), validate_args=self._validate_args)
