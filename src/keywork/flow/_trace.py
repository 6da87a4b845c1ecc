"""What happened when a pipeline was tried without data: for every step what it was given, what it wrote, how it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

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
        device: where it was.
        reach: the spec or the support that says which values it takes; None where nobody does.
    """

    holds: Holding
    writer: str
    device: torch.device
    reach: Any = None

    def __str__(self) -> str:
        return f"{self.holds.dtype}{self.holds.shape_text} (written by {self.writer})"


@dataclass(frozen=True, slots=True)
class Trial:
    """One step, as it was tried.

    Attributes:
        index: which part of the flow it is.
        step: the step.
        given: every entry that it reads, as far as it was known.
        wrote: every entry that it wrote, as far as that is known.
        failures: how it failed on values that the specs allow, one for each kind of batch; empty if it ran on any.
        reason: where nothing is known of what it wrote, why not; empty otherwise.
        on_fakes: the type of what it raised on tensors without values; None if it ran on them.
        seen: what was there for it to read, whether it read it or not.
    """

    index: int
    step: Step
    given: Mapping[Key, Given]
    wrote: Mapping[Key, Given]
    failures: tuple[Failure, ...] = ()
    reason: str = ""
    on_fakes: type[Exception] | None = None
    seen: Mapping[Key, Given] | None = None

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
    """The trials of all steps, in order, and what every entry holds in the end."""

    trials: tuple[Trial, ...]
    holdings: Mapping[Key, Holding]
