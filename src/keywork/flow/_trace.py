"""What happened when a pipeline was tried: for every step what it was given, what it wrote, and how it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from keywork._errors import Finding
from keywork._keys import Key
from keywork.flow._graph import Holding
from keywork.flow._parts import Step
from keywork.flow._trial import Failure


@dataclass(frozen=True, slots=True)
class Given:
    """An entry as it was at one moment.

    Attributes:
        holds: its shape, dtype and domain.
        writer: who had written it.
        dtype: its type, as torch has it.
        device: where it was.
        reach: the spec or the support that says which values it takes; None where nobody does.
    """

    holds: Holding
    writer: str
    dtype: torch.dtype
    device: torch.device
    reach: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Without batch dimensions."""
        return self.holds.shape or ()

    def __str__(self) -> str:
        space = "" if self.holds.batched else " "
        return f"{self.holds.dtype}{space}{self.holds.shape_text} (written by {self.writer})"


@dataclass(frozen=True, slots=True)
class Trial:
    """One step, as it was tried.

    Attributes:
        index: which part of the flow it is.
        step: the step.
        given: every entry that it reads, as far as it was known.
        seen: all that was there when it ran, whether it reads it or not.
        wrote: every entry that it wrote, as far as that is known.
        failures: how it failed on values that the specs allow, one for each kind of batch; empty if it ran on any.
        on_fakes: the type of what it raised on tensors without values; None if it ran on them.
    """

    index: int
    step: Step
    given: Mapping[Key, Given]
    seen: Mapping[Key, Given]
    wrote: Mapping[Key, Given] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    on_fakes: type[Exception] | None = None

    @property
    def place(self) -> str:
        """``MLP (policy, part 1)``, for messages."""
        return f"{self.step.part.name} ({self.step.part.kind}, part {self.index})"

    @property
    def provided(self) -> str:
        """What there was for it, for messages."""
        return ", ".join(f"{key!r} {given}" for key, given in self.given.items())


@dataclass(frozen=True, slots=True)
class Trace:
    """What came of trying a pipeline.

    Attributes:
        trials: of all steps, in order.
        holdings: what every entry holds in the end.
        findings: what cannot work.
        notes: what could not be found out, and why.
    """

    trials: tuple[Trial, ...]
    holdings: Mapping[Key, Holding]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
