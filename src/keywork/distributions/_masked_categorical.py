"""A choice among those of n that are allowed, as an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Size, Tensor

from ._index_choice import IndexChoice
from ._masks import masked


class MaskedCategorical(IndexChoice):
    """P(a = k) = softmax(logits over what is allowed)ₖ, and 0 where it is not; a is an int64 index ``[*batch]``.

    RANDOM draws; MODE, MEAN and DETERMINISTIC are the likeliest allowed index. Indices count all n choices, also with
    ``indices``. A forbidden choice has log-prob −inf, whatever its logit, with a gradient of zero for that logit and
    the usual one for the others; it adds nothing to the entropy or to KL(p ‖ q). ``mask`` holds what is allowed.

    **A row that allows nothing** has no answer, and is an error that names the row. To look costs little on a CPU,
    where it is done unless ``validate_args=False``. An accelerator would make the host wait: there, and under
    ``torch.compile`` and ``torch.vmap``, it is done with ``validate_args=True`` only. Unchecked, such a row takes
    index 0 with a log-prob of NaN. In every other row a forbidden choice is never taken: the field's ``neg_inf``, a
    finite one of which lets it be drawn, is not offered; nor are its ``use_cross_entropy``, as there is one way of
    scoring, for any leading dimensions, and ``padding_side``, as padding is found on either side.

    Args:
        logits: unnormalised log-probabilities ``[*batch, n]``.
        probs: instead of logits, probabilities; they need not sum to one.
        mask: True, or an integer that is not zero, allows a choice: ``[*batch, n]``, or ``[n]`` for all rows.
        indices: instead of a mask, the allowed choices: integers ``[*batch, k]``, or ``[k]`` for all rows; in any
            order, and one that is repeated counts once.
        padding_value: fills up the rows of ``indices`` that allow fewer than k, on either side.
        validate_args: True checks the values of all arguments and of scored indices, False none, None as said above.

    Raises:
        SpecError: both or neither of mask and indices (or of logits and probs), a mask of floats, a shape that does
            not fit the logits, an index that is no choice, or a row that allows nothing.

    >>> import torch
    >>> dist = MaskedCategorical(torch.zeros(3), mask=torch.tensor([False, True, True]))
    >>> dist.mode, dist.probs, dist.log_prob(torch.tensor(0))
    (tensor(1), tensor([0.0000, 0.5000, 0.5000]), tensor(-inf))
    """

    def __init__(
        self,
        logits: Tensor | None = None,
        probs: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        indices: Tensor | None = None,
        padding_value: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
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

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> MaskedCategorical:
        """The same distribution over a larger batch."""
        shape = Size((*batch_shape, self.n))
        scores, mask = self._scores.expand(shape), self.mask.expand(shape)
        return MaskedCategorical(scores, mask=mask, validate_args=self._validate_args)
