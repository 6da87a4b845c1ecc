"""A choice among those of n that are allowed, as a one-hot vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Size, Tensor

from ._masks import masked
from ._one_hot_choice import PASS_THROUGH, OneHotChoice, grad_method_of


class MaskedOneHotCategorical(OneHotChoice):
    """P(a = eₖ) = softmax(logits over what is allowed)ₖ, and 0 where it is not; a is an int64 vector ``[*batch, n]``.

    As ``MaskedCategorical``, which also says what happens to a row that allows nothing, with the values of
    ``OneHotCategorical``: MODE, MEAN and DETERMINISTIC are the one-hot vector of the likeliest allowed choice, a single
    one also where several tie, and ``rsample`` is straight-through, with ``has_rsample`` False.

    Args:
        logits: unnormalised log-probabilities ``[*batch, n]``.
        probs: instead of logits, probabilities; they need not sum to one.
        mask: True, or an integer that is not zero, allows a choice: ``[*batch, n]``, or ``[n]`` for all rows.
        indices: instead of a mask, the allowed choices: integers ``[*batch, k]``, or ``[k]`` for all rows.
        padding_value: fills up the rows of ``indices`` that allow fewer than k, on either side.
        grad_method: of ``rsample``, see ``OneHotCategorical``.
        validate_args: True checks the values of all arguments and of scored vectors, False none; None those of the
            mask and of the indices, on a CPU.

    Raises:
        SpecError: both or neither of mask and indices (or of logits and probs), a mask of floats, a shape that does
            not fit the logits, an index that is no choice, or a row that allows nothing.

    >>> import torch
    >>> dist = MaskedOneHotCategorical(torch.zeros(3), indices=torch.tensor([1, 2]))
    >>> dist.mode, dist.entropy().exp()
    (tensor([0, 1, 0]), tensor(2.))
    """

    def __init__(
        self,
        logits: Tensor | None = None,
        probs: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        indices: Tensor | None = None,
        padding_value: int | None = None,
        grad_method: Any = PASS_THROUGH,
        validate_args: bool | None = None,
    ) -> None:
        if grad_method != PASS_THROUGH:
            self.grad_method = grad_method_of(type(self).__name__, grad_method)
        super().__init__(logits, probs)
        self.mask, self._scores = masked(
            type(self).__name__,
            self._scores,
            mask=mask,
            indices=indices,
            padding_value=padding_value,
            validate_args=validate_args,
        )
        self._validate_args = bool(validate_args)
        if validate_args:
            self._check_parameters()

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> MaskedOneHotCategorical:
        """The same distribution over a larger batch."""
        shape = Size((*batch_shape, self.n))
        scores, mask = self._scores.expand(shape), self.mask.expand(shape)
        return MaskedOneHotCategorical(
            scores, mask=mask, grad_method=self.grad_method, validate_args=self._validate_args
        )
