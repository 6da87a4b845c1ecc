"""Where several actions at once may lie."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

from torch import Tensor
from torch.distributions import constraints

from keywork._keys import Key

from ._composite_values import values_of
from ._constraints import Constraint, holds


class JointSupport(constraints.Constraint):
    """Each action lies in its own support.

    Args:
        parts: the support of each action, by its key.
    """

    event_dim = 0

    def __init__(self, parts: Mapping[Key, Constraint]) -> None:
        self.parts = dict(parts)

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]  # torch has it as a plain attribute
        """Whether every action is discrete."""
        return all(part.is_discrete for part in self.parts.values())

    def check(self, value: Any) -> Tensor:
        """Whether all actions of a value lie inside, ``[*B]``."""
        values = values_of(list(self.parts), value)
        return reduce(Tensor.logical_and, map(holds, self.parts.values(), values))

    def __repr__(self) -> str:
        return f"JointSupport({self.parts})"
