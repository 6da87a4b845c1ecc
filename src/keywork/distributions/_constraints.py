"""Torch's constraints, which have no type annotations, behind functions that have."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import constraints

Constraint = constraints.Constraint


def real(event_dims: int) -> Constraint:
    """Real numbers in every place of an event."""
    return constraints.independent(constraints.real, event_dims)  # type: ignore[no-untyped-call]


def interval(low: Tensor | float, high: Tensor | float, event_dims: int) -> Constraint:
    """Numbers from low to high, both included, in every place of an event."""
    return constraints.independent(constraints.interval(low, high), event_dims)  # type: ignore[no-untyped-call]


def integers(n: int) -> Constraint:
    """The integers from 0 to n − 1."""
    return constraints.integer_interval(0, n - 1)  # type: ignore[no-untyped-call]


def integers_below(counts: Tensor, event_dims: int) -> Constraint:
    """The integers from 0 to n - 1, of an n for every place of an event."""
    return constraints.independent(constraints.integer_interval(0, counts - 1), event_dims)  # type: ignore[no-untyped-call]


def flags(event_dims: int) -> Constraint:
    """0 or 1 in every place of an event."""
    return constraints.independent(constraints.boolean, event_dims)  # type: ignore[no-untyped-call]


def holds(constraint: Constraint, value: Tensor) -> Tensor:
    """Where a value satisfies a constraint, one bool an event."""
    valid: Tensor = constraint.check(value)  # type: ignore[no-untyped-call]
    return valid
