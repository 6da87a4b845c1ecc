"""The one form of this room's messages about arguments and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from keywork._errors import KeyworkError
from keywork._keys import meant

_Error = TypeVar("_Error", bound=KeyworkError)


def refusal(kind: type[_Error], what: str, *, where: str, expected: str, got: str, fix: str) -> _Error:
    """The error in its five parts: what could not be done, where, what was asked, what there is, what to type.

    >>> from keywork._errors import UsageError
    >>> print(refusal(UsageError, "EGreedyModule cannot be built: eps_init is no probability.", where="eps_init",
    ...               expected="a number from 0 to 1", got="1.5", fix="eps_init=1.0"))
    EGreedyModule cannot be built: eps_init is no probability.
      where: eps_init
      expected: a number from 0 to 1
      got: 1.5
      fix: eps_init=1.0
    """
    return kind(f"{what}\n  where: {where}\n  expected: {expected}\n  got: {got}\n  fix: {fix}")


def require_known(owner: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse keyword arguments that there are not, as Python does for those of a signature.

    Raises:
        TypeError: an option is unknown.
    """
    names = list(known)
    for name in options:
        if name not in names:
            hint = meant(name, names).strip()
            raise TypeError(f"{owner}.__init__() got an unexpected keyword argument {name!r}{hint and '; ' + hint}")
