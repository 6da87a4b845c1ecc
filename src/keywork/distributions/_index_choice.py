"""Choices that are given as an index."""

from __future__ import annotations

import torch
from torch import Tensor

from keywork._errors import SpecError

from ._constraints import Constraint, integers
from ._discrete import DiscreteDistribution


class IndexChoice(DiscreteDistribution):
    """The abstract base of distributions over indices: a value is an int64 index of shape ``[*batch]``."""

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
                f"{type(self).__name__}.log_prob cannot score a value of type {value.dtype}: it takes indices of an "
                "integer type. Store the action as int64, or pass value.long()."
            )
        return value.long()
