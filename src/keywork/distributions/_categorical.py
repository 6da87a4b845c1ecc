"""A choice among n, as an index."""

from __future__ import annotations

import torch
from torch import Tensor

from keywork._errors import SpecError

from ._constraints import Constraint, integers
from ._discrete import DiscreteDistribution


class Categorical(DiscreteDistribution):
    """P(a = k) = softmax(logits)ₖ; a is an int64 index of shape ``[*batch]``.

    RANDOM draws; MODE, MEAN and DETERMINISTIC are the likeliest index, a single one also where several tie. (The
    expectation of an index is no index, so that ``mean`` is the mode here.) There is no reparameterised sample:
    learn from ``log_prob``. Without ``validate_args`` a row of NaN or of −inf alone is not refused here; it shows as
    a NaN in ``log_prob``.

    Args:
        logits: unnormalised log-probabilities ``[*batch, n]``; −inf excludes a choice.
        probs: instead of logits, probabilities; they need not sum to one.
        validate_args: True checks the values of the parameters, and that scored indices are below n; this waits for the
            device.

    Raises:
        SpecError: both or neither of logits and probs, or a scalar.

    >>> dist = Categorical(probs=torch.tensor([0.25, 0.75]))
    >>> dist.mode, dist.log_prob(torch.tensor(0)).exp()
    (tensor(1), tensor(0.2500))
    """

    @property
    def support(self) -> Constraint:
        """The integers from 0 to n − 1."""
        return integers(self.n)

    def _encode(self, index: Tensor) -> Tensor:
        return index

    def _decode(self, value: Tensor) -> Tensor:
        if value.dtype is torch.int64:
            return value
        if value.is_floating_point() or value.is_complex():
            raise SpecError(
                f"Categorical.log_prob cannot score a value of type {value.dtype}: it takes indices of an integer "
                "type. Store the action as int64, or pass value.long()."
            )
        return value.long()
