"""The numbers of losses and estimators, looked at when these are built."""

from __future__ import annotations

import math
from typing import Any

from keywork._errors import UsageError, refusal


def require_fraction(owner: str, name: str, number: float) -> None:
    """Refuse a number that is not in [0, 1]; NaN is not.

    Raises:
        UsageError: it is not.
    """
    if not 0.0 <= number <= 1.0:
        raise _out_of_range(owner, name, number, "a number from 0 to 1", f"{name}=0.99")


def require_positive(owner: str, name: str, number: float) -> None:
    """Refuse a number that is not above zero; NaN is not.

    Raises:
        UsageError: it is not.
    """
    if not number > 0.0:
        raise _out_of_range(owner, name, number, "a number above zero", f"{name}=0.2")


def require_not_negative(owner: str, name: str, number: float) -> None:
    """Refuse a number below zero; NaN is not above it either.

    Raises:
        UsageError: it is.
    """
    if not number >= 0.0:
        raise _out_of_range(owner, name, number, "a number from zero on", f"{name}=1.0")


def require_inside(owner: str, name: str, number: float) -> None:
    """Refuse a number that is not in (0, 1); NaN is not.

    Raises:
        UsageError: it is not.
    """
    if not 0.0 < number < 1.0:
        raise _out_of_range(owner, name, number, "a number between 0 and 1", f"{name}=0.7")


def require_entropy(owner: str, number: Any) -> None:
    """Refuse a target entropy that is neither ``"auto"`` nor a finite number.

    Raises:
        UsageError: it is neither.
    """
    if number != "auto" and not (isinstance(number, int | float) and math.isfinite(number)):
        raise _out_of_range(owner, "target_entropy", number, "a finite number, or 'auto'", "target_entropy='auto'")


def _out_of_range(owner: str, name: str, number: Any, expected: str, fix: str) -> UsageError:
    what = f"{owner} cannot be built: {name} is out of range."
    return refusal(UsageError, what, where=name, expected=expected, got=repr(number), fix=fix)
