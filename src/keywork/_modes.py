"""Whether a policy explores, and takes steps or sequences: one variable a thread each, honoured by all below."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import _GeneratorContextManager, contextmanager
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
        """Take a member, its name in any case, or another library's enum member of the same name."""
        name = str(getattr(kind, "name", kind)).upper()
        if name not in cls.__members__:
            raise ValueError(f"There is no exploration type {kind!r}: choose one of {', '.join(cls.__members__)}.")
        return cls[name]


# Neither a ContextVar nor a class with defaults: torch.compile guards only on what the object itself holds.
_current = threading.local()


@contextmanager
def _set(name: str, value: Any) -> Iterator[None]:
    before = getattr(_current, name, None)
    setattr(_current, name, value)
    try:
        yield
    finally:
        setattr(_current, name, before)


class Modes:
    """Both modes, set together: what :func:`set_exploration_type` and :func:`set_recurrent_mode` do, in less
    time, for a collector that sets them with every step. Not to be entered again before it was left.

    >>> with Modes(ExplorationType.MODE, recurrent=False):
    ...     exploration_type()
    <ExplorationType.MODE: 'mode'>
    """

    __slots__ = ("_before", "_kind", "_recurrent")

    def __init__(self, kind: ExplorationType, *, recurrent: bool) -> None:
        self._kind, self._recurrent = kind, recurrent

    def __enter__(self) -> None:
        self._before = exploration_type(), getattr(_current, "recurrent", None)
        _current.kind, _current.recurrent = self._kind, self._recurrent

    def __exit__(self, *_: object) -> None:
        _current.kind, _current.recurrent = self._before


def exploration_type() -> ExplorationType | None:
    """The type that is set here; None outside of any context, where every module follows its own default."""
    kind: ExplorationType | None = getattr(_current, "kind", None)
    return kind


def set_exploration_type(type: Any = ExplorationType.DETERMINISTIC) -> _GeneratorContextManager[None]:
    """Set the exploration type of everything called inside: a context manager and a decorator.

    >>> with set_exploration_type("mode"):
    ...     exploration_type()
    <ExplorationType.MODE: 'mode'>
    """
    return _set("kind", ExplorationType.of(type))


def recurrent_mode() -> bool:
    """Whether recurrent modules take sequences, the last batch dimension being time; False outside of any context."""
    return bool(getattr(_current, "recurrent", False))


def set_recurrent_mode(mode: bool = True) -> _GeneratorContextManager[None]:
    """Let recurrent modules run over sequences (or, if False, over steps): a context manager and a decorator."""
    if not isinstance(mode, bool):
        raise TypeError(f"set_recurrent_mode takes True for sequences or False for steps; got {mode!r}.")
    return _set("recurrent", mode)
