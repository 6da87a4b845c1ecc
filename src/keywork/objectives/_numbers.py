"""The numbers and names that losses and estimators are built with, looked at then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from keywork._errors import UsageError, refusal


def require_fraction(owner: str, name: str, number: float) -> None:
    """Refuse a number that is not in [0, 1]; NaN is not.

    Raises:
        UsageError: it is not.
    """
    if not 0.0 <= number <= 1.0:
        raise _out_of_range(owner, name, number, "a number from 0 to 1", f"{name}=0.99")


def require_positive(owner: str, name: str, number: float, *, limit: bool = False) -> None:
    """Refuse a number that is not above zero, or not finite; a limit may be infinite, and holds nothing back then.

    Raises:
        UsageError: it is one of these; NaN is.
    """
    if not (0.0 < number < math.inf or (limit and number == math.inf)):
        expected = "a number above zero" if limit else "a finite number above zero"
        raise _out_of_range(owner, name, number, expected, f"{name}=0.2")


def require_not_negative(owner: str, name: str, number: float, *, limit: bool = False, usual: float = 0.1) -> None:
    """Refuse a number that is below zero, or not finite; a limit may be infinite, and holds nothing back then.

    The message advises the usual one.

    Raises:
        UsageError: it is one of these; NaN is.
    """
    if not (0.0 <= number < math.inf or (limit and number == math.inf)):
        expected = "a number from zero on" if limit else "a finite number from zero on"
        raise _out_of_range(owner, name, number, expected, f"{name}={usual}")


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


def require_choice(owner: str, name: str, choice: Any, choices: Sequence[str], fix: str = "") -> None:
    """Refuse a name that is none of several.

    Args:
        owner: whose argument it is.
        name: of the argument.
        choice: what was asked for.
        choices: what there is.
        fix: what to type; the first choice, if left out.

    Raises:
        UsageError: it is none of these.
    """
    if choice not in choices:
        *others, last = map(repr, choices)
        raise refusal(
            UsageError,
            f"{owner} cannot be built: there is no such {name}.",
            where=name,
            expected=f"{', '.join(others)} or {last}",
            got=repr(choice),
            fix=fix or f"{name}={choices[0]!r}",
        )


def _out_of_range(owner: str, name: str, number: Any, expected: str, fix: str) -> UsageError:
    what = f"{owner} cannot be built: {name} is out of range."
    return refusal(UsageError, what, where=name, expected=expected, got=repr(number), fix=fix)
