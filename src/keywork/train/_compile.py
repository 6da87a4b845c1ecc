"""Compiled methods that cost little to call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType, MethodType
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def changing(number: float, *, compile: bool) -> float | Tensor:
    """A setting that changes as training goes on: a plain number would be a constant of what is compiled.

    >>> changing(0.2, compile=True), changing(0.2, compile=False)
    (tensor(0.2000), 0.2)
    """
    return torch.tensor(number) if compile else number


def compiled_method(method: F, device: torch.device) -> F:
    """A method of tensors, compiled for each shape that comes, and anew after a number, a flag or a text has changed.

    Of the hundreds of things that the compiler would look at before each call, which takes as long as a small network,
    most tell one module from another. Without them the code must be this method's alone, for compiled code is kept by
    the code that it was made of.

    Args:
        method: bound to what it belongs to.
        device: where its tensors are.
    """
    bound = cast(MethodType, method)
    whole = cast(FunctionType, bound.__func__)
    code = whole.__code__.replace()
    own = FunctionType(code, whole.__globals__, whole.__name__, whole.__defaults__, whole.__closure__)
    options: dict[str, Any] = {"guard_filter_fn": _watched}
    if device.type == "cpu":
        options["cpp_wrapper"] = True  # what calls the kernels is compiled as well
        options["fallback_random"] = True  # a seed gives what it gives without compiling, and is drawn faster
    return cast(F, torch.compile(MethodType(own, bound.__self__), dynamic=False, options=options))


class _Guard(Protocol):
    """What the compiler is to look at before each call; the part of its ``GuardFilterEntry`` that is read here."""

    name: str
    guard_type: str
    has_value: bool
    value: object
    is_global: bool


def _watched(guards: Sequence[_Guard]) -> list[bool]:
    """Tensors, the state of torch, and numbers, flags and texts of the modules and of this library."""
    return [
        not guard.has_value
        or guard.guard_type == "TENSOR_MATCH"
        or (isinstance(guard.value, _PLAIN) and (not guard.is_global or "keywork" in guard.name))
        for guard in guards
    ]


_PLAIN = (bool, int, float, str, type(None))
