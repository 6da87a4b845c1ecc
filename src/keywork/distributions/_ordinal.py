"""A choice among n that have an order, as an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ._index_choice import IndexChoice
from ._ordinal_scores import ordinal_logits


class Ordinal(IndexChoice):
    """P(a = k) ∝ Πᵢ≤ₖ σ(sᵢ) · Πᵢ>ₖ σ(−sᵢ) for n choices that have an order; a is an int64 index of shape ``[*batch]``.

    The score sᵢ is a vote for index i or a higher one against all that are lower, so that a step on one score moves
    neighbours together: the choice for the bins of a quantity, such as a torque (Tang and Agrawal, Discretizing
    Continuous Action Space for On-Policy Optimization, 2020). As log σ(s) − log σ(−s) = s, the logits are the sums
    s₀ + … + sₖ, to a constant: scores of zero are uniform, and s₀ changes nothing.

    RANDOM draws; MODE, MEAN and DETERMINISTIC are the likeliest index, a single one also where several tie.

    Args:
        scores: real numbers ``[*batch, n]``.
        validate_args: True checks the values of the scores, and that scored indices are below n; this waits for the
            device.

    Raises:
        SpecError: the scores have no dimension.

    >>> import torch
    >>> dist = Ordinal(torch.tensor([0.0, 1.0, -1.0]))
    >>> dist.mode, dist.logits - dist.logits[0]
    (tensor(1), tensor([0., 1., 0.]))
    """

    def __init__(self, scores: Tensor, *, validate_args: bool | None = None) -> None:
        self.scores = scores
        super().__init__(ordinal_logits(type(self).__name__, scores), validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Ordinal:
        """The same distribution over a larger batch."""
        return Ordinal(self.scores.expand(*batch_shape, -1), validate_args=self._validate_args)
