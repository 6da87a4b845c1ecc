"""How a check says what is wrong, and how it is skipped, in ways that both pytest and unittest know."""

from __future__ import annotations

import functools
import inspect
import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from tensordict import is_tensor_collection
from torch import Tensor

from keywork._errors import UsageError, shape_of
from keywork._keys import listed, meant


def expect(holds: bool, problem: str) -> None:
    """Raise an AssertionError that says ``problem`` unless it ``holds``, also under ``python -O``."""
    if not holds:
        raise AssertionError(problem)


def skip(reason: str) -> NoReturn:
    """End a check that does not apply."""
    raise unittest.SkipTest(reason)


@contextmanager
def failing(problem: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn an error of these kinds into a failed check that says ``problem`` and what the error says."""
    try:
        yield
    except kinds as error:
        first = str(error).strip().split("\n")[0]
        raise AssertionError(f"{problem}: {type(error).__name__}: {first}") from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator inside, and give it back afterwards as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def check(method: Callable[[Any], None]) -> Callable[[Any], None]:
    """Make a ``test_*`` method that its class can exempt by name, and that says which check it was in an error."""
    name = check_name(method.__name__)

    @functools.wraps(method)
    def test(self: Any) -> None:
        if name in self.exempt:
            skip(f"exempt: {self.exempt[name]}")
        try:
            method(self)
        except (AssertionError, unittest.SkipTest):
            raise
        except Exception as error:
            asks = (inspect.getdoc(method) or "").partition("\n")[0]
            error.add_note(f"check {name!r} of {type(self).__name__}: {asks}")
            raise

    return test


def check_name(method: str) -> str:
    """``"vmap"`` of ``"test_vmap"``."""
    return method.removeprefix("test_")


def refuse_strange_exemptions(owner: type) -> None:
    """Raise if a class exempts a check that there is not, or gives no reason.

    Raises:
        UsageError: it does.
    """
    exempt = getattr(owner, "exempt", {})
    if not isinstance(exempt, Mapping):  # a property, which says it for each object
        return
    checks = [check_name(name) for name in dir(owner) if name.startswith("test_")]
    for name, reason in exempt.items():
        if name not in checks:
            raise UsageError(
                f"{owner.__name__} cannot be tested: exempt names {name!r}, which is no check.\n"
                f"   there are: {listed(checks)}\n   {meant(name, checks)}Correct the name, or drop it."
            )
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(
                f"{owner.__name__} cannot be tested: exempt gives {reason!r} as the reason of {name!r}.\n"
                f"   Say why it does not apply: exempt = {{{name!r}: 'calls numpy'}}."
            )


def leaves(value: Any) -> list[Tensor]:
    """The tensors of an output: itself, or those of a nested entry in the order of their keys."""
    if is_tensor_collection(value):
        keys = sorted(value.keys(include_nested=True, leaves_only=True), key=str)
        return [value[key] for key in keys]
    return [value]


def same(a: Any, b: Any) -> bool:
    """Whether two outputs are equal bit for bit, in type and shape too; a NaN equals itself."""
    ours, theirs = leaves(a), leaves(b)
    return len(ours) == len(theirs) and all(
        x.dtype == y.dtype and x.shape == y.shape and bool(((x == y) | ((x != x) & (y != y))).all())
        for x, y in zip(ours, theirs, strict=True)
    )


def all_same(a: Any, b: Any) -> bool:
    """Whether two sequences of outputs are equal bit for bit."""
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def close(a: Tensor, b: Tensor, problem: str, tolerance: float = 1e-5) -> None:
    """Expect two tensors of one shape to agree within an absolute and relative tolerance."""
    expect(a.shape == b.shape, f"{problem}: {shape_of(a)} is not of the shape of {shape_of(b)}")
    with failing(problem, AssertionError):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True, check_dtype=False)
