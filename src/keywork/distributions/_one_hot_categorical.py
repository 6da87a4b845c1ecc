"""A choice among n, as a one-hot vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ._one_hot_choice import PASS_THROUGH, OneHotChoice, grad_method_of


class OneHotCategorical(OneHotChoice):
    """P(a = eₖ) = softmax(logits)ₖ; a is an int64 one-hot vector of shape ``[*batch, n]``.

    RANDOM draws; MODE, MEAN and DETERMINISTIC are the one-hot vector of the likeliest choice, with a single one also
    where several tie. (The expectation, ``probs``, is no action, so that ``mean`` is the mode here.)

    ``rsample`` is a one-hot vector of floats whose gradient is that of ``probs`` (straight-through: Bengio et al.,
    Estimating or Propagating Gradients Through Stochastic Neurons, 2013), or with ``grad_method="relaxed"`` that of
    softmax(logits + g) with the noise g of the draw (straight-through Gumbel-softmax at temperature 1: Jang et al.,
    Categorical Reparameterization with Gumbel-Softmax, 2017). Both are biased, so that ``has_rsample`` is False:
    nobody gets them without asking.

    ``log_prob`` takes one-hot vectors of bool, integers or floats, and refuses an index by its shape.

    Args:
        logits: unnormalised log-probabilities ``[*batch, n]``; −inf excludes a choice.
        probs: instead of logits, probabilities; they need not sum to one.
        grad_method: of ``rsample``: ``"pass-through"`` or ``"relaxed"``.
        validate_args: True checks the values of the parameters, and that scored values are one-hot; this waits for the
            device.

    Raises:
        SpecError: both or neither of logits and probs, a scalar, logits of integers, or another grad_method.

    >>> import torch
    >>> dist = OneHotCategorical(logits=torch.zeros(3))
    >>> dist.mode, dist.event_shape
    (tensor([1, 0, 0]), torch.Size([3]))
    """

    def __init__(
        self,
        logits: Tensor | None = None,
        probs: Tensor | None = None,
        grad_method: Any = PASS_THROUGH,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if grad_method != PASS_THROUGH:
            self.grad_method = grad_method_of(type(self).__name__, grad_method)
        super().__init__(logits, probs, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> OneHotCategorical:
        """The same distribution over a larger batch; no memory is copied."""
        scores = self._scores.expand(*batch_shape, -1)
        return OneHotCategorical(scores, grad_method=self.grad_method, validate_args=self._validate_args)
