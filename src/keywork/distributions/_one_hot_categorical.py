"""A choice among n, as a one-hot vector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from ._base import NO_SHAPE
from ._constraints import Constraint
from ._discrete import DiscreteDistribution
from ._noise import gumbel_argmax


class OneHotCategorical(DiscreteDistribution):
    """P(a = eₖ) = softmax(logits)ₖ; a is an int64 one-hot vector of shape ``[*batch, n]``.

    RANDOM draws; MODE, MEAN and DETERMINISTIC are the one-hot vector of the likeliest choice, with a single one also
    where several tie. (The expectation, ``probs``, is no action, so that ``mean`` is the mode here.)

    ``rsample`` is straight-through: a one-hot vector of floats whose gradient is that of ``probs`` (Bengio et al.,
    Estimating or Propagating Gradients Through Stochastic Neurons, 2013). That gradient is biased, so that
    ``has_rsample`` is False: nobody gets it without asking.

    ``log_prob`` takes one-hot vectors of bool, integers or floats, and refuses an index by its shape.

    Args:
        logits: unnormalised log-probabilities ``[*batch, n]``; −inf excludes a choice.
        probs: instead of logits, probabilities; they need not sum to one.
        validate_args: True checks the values of the parameters, and that scored values are one-hot; this waits for the
            device.

    Raises:
        SpecError: both or neither of logits and probs, or a scalar.

    >>> dist = OneHotCategorical(logits=torch.zeros(3))
    >>> dist.mode, dist.event_shape
    (tensor([1, 0, 0]), torch.Size([3]))
    """

    _event_dims = 1

    @property
    def support(self) -> Constraint:
        """Vectors of one 1 among zeros."""
        return constraints.one_hot

    @property
    def variance(self) -> Tensor:
        """pₖ (1 − pₖ), of each element of the vector around its expectation ``probs``."""
        p = self.probs
        return p * (1.0 - p)

    def rsample(self, sample_shape: Sequence[int] = NO_SHAPE, *, generator: torch.Generator | None = None) -> Tensor:
        """A one-hot draw in floating point with the gradient of ``probs``."""
        p = self.probs
        hot = F.one_hot(gumbel_argmax(self._scores.detach(), sample_shape, generator), self.n)
        # In this order: the difference is exactly zero, and the value stays exactly one-hot.
        return hot + (p - p.detach())

    def _encode(self, index: Tensor) -> Tensor:
        return F.one_hot(index, self.n)

    def _decode(self, value: Tensor) -> Tensor:
        return (value.to(torch.uint8) if value.dtype is torch.bool else value).argmax(-1)

    def _shape_message(self, value: Tensor) -> str:
        message = super()._shape_message(value)
        if not value.is_floating_point() and value.shape[value.ndim - len(self.batch_shape) :] == self.batch_shape:
            return message.rpartition(". ")[0] + (
                f". It looks like an index: pass torch.nn.functional.one_hot(value, {self.n}), or use Categorical."
            )
        return message
