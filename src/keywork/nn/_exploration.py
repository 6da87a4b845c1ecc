"""Whether a policy explores: one variable a thread, honoured by every module below it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any


class ExplorationType(StrEnum):
    """What a stochastic module puts in the place of a random draw.

    ``RANDOM`` samples. ``MODE``, ``MEAN`` and ``DETERMINISTIC`` are free of noise: the distribution's most likely
    value, its expectation, and its own choice of a representative value (see each distribution).
    """

    RANDOM = "random"
    MODE = "mode"
    MEAN = "mean"
    DETERMINISTIC = "deterministic"

    @classmethod
    def of(cls, kind: Any) -> ExplorationType:
        """Take a member, its name in any case, or another library's enum member of the same name.

        >>> ExplorationType.of("Deterministic")
        <ExplorationType.DETERMINISTIC: 'deterministic'>
        """
        name = str(getattr(kind, "name", kind)).upper()
        if name not in cls.__members__:
            raise ValueError(f"There is no exploration type {kind!r}: choose one of {', '.join(cls.__members__)}.")
        return cls[name]


# Neither a ContextVar nor a class with a default: torch.compile guards only on what the object itself holds.
_current = threading.local()


def exploration_type() -> ExplorationType | None:
    """The type that is set here; None outside of any context, where every module follows its own default."""
    kind: ExplorationType | None = getattr(_current, "kind", None)
    return kind


@contextmanager
def set_exploration_type(type: Any = ExplorationType.DETERMINISTIC) -> Iterator[None]:
    """Set the exploration type of everything called inside: a context manager and a decorator.

    Nested use restores the outer type, also after an exception; threads do not see each other's.

    >>> with set_exploration_type("mode"):
    ...     exploration_type()
    <ExplorationType.MODE: 'mode'>
    """
    before, _current.kind = exploration_type(), ExplorationType.of(type)
    try:
        yield
    finally:
        _current.kind = before
