"""Choices that are given as a one-hot vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from keywork._errors import SpecError, refusal

from ._base import NO_SHAPE
from ._constraints import Constraint
from ._discrete import DiscreteDistribution
from ._noise import gumbel_argmax, gumbel_perturbed

PASS_THROUGH, RELAXED = "pass-through", "relaxed"
# The field has an enum, whose members are called so.
_METHODS = {PASS_THROUGH: PASS_THROUGH, RELAXED: RELAXED, "PassThrough": PASS_THROUGH, "RelaxedOneHot": RELAXED}


class OneHotChoice(DiscreteDistribution):
    """The abstract base of distributions over one-hot vectors: a value is an int64 vector of shape ``[*batch, n]``."""

    _event_dims = 1
    grad_method = PASS_THROUGH

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
        """A one-hot draw in floating point with the gradient that ``grad_method`` says."""
        if self.grad_method == RELAXED:
            noisy = gumbel_perturbed(self._scores, sample_shape, generator)
            soft, index = noisy.softmax(-1), noisy.argmax(-1)
        else:
            soft, index = self.probs, gumbel_argmax(self._scores.detach(), sample_shape, generator)
        # In this order: the difference is exactly zero, and the value stays exactly one-hot.
        return self._encode(index) + (soft - soft.detach())

    def _encode(self, index: Tensor) -> Tensor:
        if torch._C._are_functorch_transforms_active():
            # Torch's own looks at the values, which in a gradient inside of vmap are not there to be looked at.
            return (index.unsqueeze(-1) == torch.arange(self.n, device=index.device)).long()
        return F.one_hot(index, self.n)

    def _decode(self, value: Tensor) -> Tensor:
        return (value.to(torch.uint8) if value.dtype is torch.bool else value).argmax(-1)

    def _shape_advice(self, value: Tensor) -> str:
        if not value.is_floating_point() and value.shape[value.ndim - len(self.batch_shape) :] == self.batch_shape:
            sibling = type(self).__name__.replace("OneHot", "")
            return f"It looks like an index: pass torch.nn.functional.one_hot(value, {self.n}), or use {sibling}."
        return super()._shape_advice(value)


def grad_method_of(owner: str, method: Any) -> str:
    """The name of a way to have gradients of a one-hot draw, as ``OneHotCategorical`` describes them.

    Raises:
        SpecError: there is no such way.
    """
    known = _METHODS.get(getattr(method, "name", method))
    if known is not None:
        return known
    raise refusal(
        SpecError,
        f"{owner} cannot be built: there is no such way to have gradients of a draw.",
        where="grad_method",
        expected=f"{PASS_THROUGH!r} or {RELAXED!r}",
        got=repr(method),
        fix=f"grad_method={RELAXED!r} for a Gumbel-softmax, or leave it out",
    )
