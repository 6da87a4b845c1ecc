"""A pipeline on values that its specs allow, as far as one step: what a failure without values has to be shown by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from keywork._keys import Key
from keywork.flow._parts import Step
from keywork.flow._trial import Failure, Outcome, device_of, kept_randomness, run_on
from keywork.specs import MultiBinary, TensorSpec

Event: TypeAlias = Step | tuple[Key, TensorSpec]
"""What happens in a pipeline: a step runs, or an entry comes that holds what a spec says."""


class Rehearsal:
    """Runs steps on values, each once; what a step cannot write is not there for those after it.

    Args:
        batch: the batch dimensions of all values.
    """

    def __init__(self, batch: tuple[int, ...]) -> None:
        self.batch = batch
        self.values: dict[Key, Tensor] = {}
        self._origins: dict[Key, int] = {}
        self._missing: set[Key] = set()
        self._done = 0

    def upto(self, events: Sequence[Event]) -> None:
        """Go through those that have happened since the last call."""
        for event in events[self._done :]:
            if isinstance(event, Step):
                self._run(event)
            else:
                self._provide(*event)
        self._done = len(events)

    def attempt(self, step: Step) -> Outcome | Failure | None:
        """Run a step, and leave all as it is; None if something that it reads is not there."""
        if any(key in self._missing or (key in step.part.reads and key not in self.values) for key in step.part.inputs):
            return None
        there, inputs = device_of(step.module), dict[Key, Tensor]()
        for key in step.module.in_keys:
            if key in self.values:
                value = self.values[key]
                inputs[key] = value if self._origins.get(key) == step.origin else value.to(there)
        return run_on(step.module, inputs, self.batch)

    def _run(self, step: Step) -> None:
        outcome = self.attempt(step) if step.module is not None else None
        outputs = outcome.outputs if isinstance(outcome, Outcome) else {}
        for key in step.part.writes:
            self._missing.discard(key)
            self._origins[key] = step.origin
            if key in outputs:
                self.values[key] = outputs[key]
            else:
                self.values.pop(key, None)
                self._missing.add(key)

    def _provide(self, key: Key, spec: TensorSpec) -> None:
        self._missing.discard(key)
        self._origins.pop(key, None)
        with kept_randomness():
            torch.manual_seed(0)
            # Flags are all True: a mask that allows nothing is of no use, and of other flags any will do.
            drawn = spec.rand(self.batch)
            self.values[key] = torch.ones_like(drawn) if _is_flag(spec) else drawn


def _is_flag(spec: TensorSpec) -> bool:
    return isinstance(spec, MultiBinary)
