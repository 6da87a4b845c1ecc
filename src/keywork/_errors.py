"""The exceptions of the package, and the one form of their messages.

    KeyworkError
    ├── ContractError    (ValueError, KeyError)  a pipeline is wired wrongly; found when it is built
    ├── MissingKeyError  (KeyError)              a call did not bring a key that a module reads
    ├── OutputError      (ValueError)            a wrapped module returned what its out_keys do not say
    ├── SpecError        (ValueError)            a value or an argument does not fit its spec
    ├── NonFiniteError   (ArithmeticError)       a NaN or an infinity where training would be ruined by it
    ├── EnvError         (RuntimeError)          an environment broke its contract, or its worker died
    ├── RunError         (RuntimeError)          a run's files are missing, unreadable or not ours
    ├── UsageError       (ValueError)            what was asked for on the command line or in a config cannot be
    └── MissingExtraError (ImportError)          an optional dependency is not installed

A message has five parts in this order: what could not be done; where; what was asked; what there is; what to type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

__all__ = [
    "ContractError",
    "EnvError",
    "Finding",
    "KeyworkError",
    "MissingExtraError",
    "MissingKeyError",
    "NonFiniteError",
    "OutputError",
    "RunError",
    "SpecError",
    "UsageError",
    "describe",
    "refusal",
    "shape_of",
]


class KeyworkError(Exception):
    """The base of every error that this package raises on purpose."""

    def __str__(self) -> str:
        # KeyError would show the repr of its argument, and our messages have several lines.
        return str(self.args[0]) if self.args else ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a pipeline.

    Attributes:
        kind: a short stable name of the kind of mistake, such as ``"missing-key"``.
        problem: where, and what was asked, in one sentence.
        provided: what there is instead; may be empty.
        fix: what to type.
    """

    kind: str
    problem: str
    provided: str
    fix: str

    def __str__(self) -> str:
        lines = [self.problem]
        if self.provided:
            lines.append(f"provided: {self.provided}")
        lines.append(self.fix)
        return "\n".join(lines)


class ContractError(KeyworkError, ValueError, KeyError):
    """A pipeline cannot be built: all its findings, numbered, in one error.

    >>> print(ContractError("TensorDictSequential", [Finding("missing-key", "step 1 reads 'hidden'.",
    ...                     "'hiden' (step 0)", "did you mean 'hiden'?")]))
    TensorDictSequential cannot be built: 1 finding.
    1. step 1 reads 'hidden'.
       provided: 'hiden' (step 0)
       did you mean 'hiden'?
    """

    def __init__(self, what: str, findings: Sequence[Finding]) -> None:
        self.what = what
        self.findings = tuple(findings)
        count = f"{len(self.findings)} finding{'s' * (len(self.findings) != 1)}"
        lines = [f"{what} cannot be built: {count}."]
        for number, finding in enumerate(self.findings, 1):
            head, *rest = str(finding).split("\n")
            lines.append(f"{number}. {head}")
            lines.extend(f"   {line}" for line in rest)
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[ContractError], tuple[str, tuple[Finding, ...]]]:
        # An error that comes from a worker process has to survive the way.
        return type(self), (self.what, self.findings)


class MissingKeyError(KeyworkError, KeyError):
    """A call did not bring a key that a module reads."""

    @classmethod
    def of(
        cls, who: str, key: Any, held: str, hint: str = "", place: str = "the TensorDict", *, fix: str = ""
    ) -> MissingKeyError:
        """The error of a module ``who`` that looked for ``key`` in ``place``, which holds the keys ``held``."""
        fix = fix or f"Store the entry under {key!r}, or change in_keys."
        return cls(
            f"{who} cannot run: it reads {key!r}, which {place} does not hold.\n"
            f"   {place} holds: {held}\n"
            f"   {hint}{fix}"
        )


class OutputError(KeyworkError, ValueError):
    """A wrapped module returned what its out_keys do not say."""


class SpecError(KeyworkError, ValueError):
    """A value, or an argument, does not fit its spec."""


class NonFiniteError(KeyworkError, ArithmeticError):
    """A NaN or an infinity turned up where training would be ruined by it."""


class EnvError(KeyworkError, RuntimeError):
    """An environment broke its contract, or its worker died."""


class RunError(KeyworkError, RuntimeError):
    """A run's files are missing, unreadable or not ours."""


class UsageError(KeyworkError, ValueError):
    """What was asked for, on the command line or in a config, cannot be done."""


class MissingExtraError(KeyworkError, ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed: pip install 'keywork[{extra}]'"
        )
        self.what, self.package, self.extra = what, package, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return type(self), (self.what, self.package, self.extra)


_Error = TypeVar("_Error", bound=Exception)


def refusal(kind: type[_Error], what: str, *, where: str, expected: str, got: str, fix: str) -> _Error:
    """The error in its five parts: what could not be done, where, what was asked, what there is, what to type.

    >>> print(refusal(UsageError, "EGreedyModule cannot be built: eps_init is no probability.", where="eps_init",
    ...               expected="a number from 0 to 1", got="1.5", fix="eps_init=1.0"))
    EGreedyModule cannot be built: eps_init is no probability.
      where: eps_init
      expected: a number from 0 to 1
      got: 1.5
      fix: eps_init=1.0
    """
    return kind(f"{what}\n  where: {where}\n  expected: {expected}\n  got: {got}\n  fix: {fix}")


def describe(module: Any) -> str:
    """A few words for a network or function in a message or a picture.

    >>> describe(nn.Linear(4, 2)), describe(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))), describe(len)
    ('Linear 4 -> 2', 'Sequential 4 -> 8 -> 2', 'len')
    """
    if not isinstance(module, nn.Module):
        return str(getattr(module, "__name__", type(module).__name__))
    linears = [m for m in module.modules() if isinstance(m, nn.Linear)]
    if linears and isinstance(module, nn.Linear | nn.Sequential):
        widths = [linears[0].in_features, *(m.out_features for m in linears)]
        return f"{type(module).__name__} {' -> '.join(map(str, widths))}"
    return type(module).__name__


def shape_of(value: Any) -> str:
    """``float32[8, 4]`` for a tensor, the type's name for anything else."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    return type(value).__name__
