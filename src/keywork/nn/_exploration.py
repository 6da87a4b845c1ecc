"""Whether a policy explores: one context variable, honoured by every module below it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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

        Raises:
            ValueError: there is no such type.

        >>> ExplorationType.of("Deterministic")
        <ExplorationType.DETERMINISTIC: 'deterministic'>
        """
        name = kind if isinstance(kind, str) else getattr(kind, "name", kind)
        try:
            return cls[str(name).upper()]
        except KeyError:
            raise ValueError(
                f"{kind!r} is no exploration type. There are {', '.join(cls.__members__)}; "
                "type set_exploration_type(ExplorationType.DETERMINISTIC)."
            ) from None


_current: ContextVar[ExplorationType | None] = ContextVar("keywork_exploration_type", default=None)


def exploration_type() -> ExplorationType | None:
    """The type that is set here; None outside of any context, where every module follows its own default."""
    return _current.get()


@contextmanager
def set_exploration_type(type: Any = ExplorationType.DETERMINISTIC) -> Iterator[None]:  # noqa: A002 (field's name)
    """Set the exploration type of everything called inside; nested use restores, threads do not see each other.

    Works as a context manager and as a decorator.

    >>> with set_exploration_type("mode"):
    ...     exploration_type()
    <ExplorationType.MODE: 'mode'>
    >>> exploration_type() is None
    True
    """
    token = _current.set(ExplorationType.of(type))
    try:
        yield
    finally:
        _current.reset(token)
