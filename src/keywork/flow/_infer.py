"""What modules write, found out without data: each one runs once on tensors that have a shape but no values.

Where that is impossible (a module looks at values, say), it runs on zeros, and then on values that the specs allow.
Either way it is a copy that runs, without gradients, and all random state is afterwards as it was before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from keywork._keys import Key
from keywork.flow._carried import carried_specs
from keywork.flow._domain import declared_spec, domain_of_support
from keywork.flow._graph import Holding
from keywork.flow._parts import Step
from keywork.flow._rehearsal import Event, Rehearsal
from keywork.flow._trace import Given, Trace, Trial
from keywork.flow._trial import CANNOT_RUN, Failure, Outcome, device_of, run_on, run_on_fakes
from keywork.specs import Spec, TensorSpec

_SIZES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


class Inference:
    """What is known of each entry after the steps so far.

    Args:
        batch: the two batch dimensions on which modules run, as collected data has them.
        num_envs: how many rows an environment's batch has; None without one.

    Attributes:
        trials: of the steps so far.
        there: what every entry holds by now.
    """

    def __init__(self, batch: tuple[int, int], num_envs: int | None = None) -> None:
        self.batch = batch
        self.trials: list[Trial] = []
        self.there: dict[Key, Given] = {}
        self._known: dict[Key, Tensor] = {}  # on the meta device: a shape and a type, no values
        self._unknown: set[Key] = set()
        self._origins: dict[Key, int] = {}
        self._events: list[Event] = []
        rows = [(prod(batch),), batch, (), *([(num_envs,)] if num_envs else [])]
        self._rehearsals = [Rehearsal(batch) for batch in rows]

    def run(self, index: int, step: Step) -> None:
        """Learn what one step writes."""
        given = {key: self.there[key] for key in step.part.inputs if key in self.there}
        seen = dict(self.there)
        outcome, failures, reason, on_fakes = Outcome({}, {}), tuple[Failure, ...](), "", None
        if step.module is not None and not self._lacks(step):
            outcome, failures, reason, on_fakes = self._tried(step)
        self._events.append(step)
        for key in step.part.writes:
            for held in (self._known, self.there):
                held.pop(key, None)
            self._unknown.add(key)
            self._origins[key] = step.origin
            if key in step.specs:
                self.provide(key, step.specs[key], step.part.name)
            elif key in outcome.outputs:
                self._write(key, outcome, step)
        wrote = {key: self.there[key] for key in step.part.writes if key in self.there}
        self.trials.append(Trial(index, step, given, wrote, failures, reason, on_fakes, seen))
        for key, spec in step.specs.items():
            held = self.there.get(key)
            if held is not None and not held.holds.domain:
                # Nobody has said which values there are, so they are those that the environment takes.
                old = held.holds
                self.there[key] = Given(
                    Holding(old.shape, old.dtype, spec.domain, old.batched), held.writer, held.device
                )

    def provide(self, key: Key, spec: TensorSpec, writer: str) -> None:
        """An entry that holds what a spec says."""
        self._known[key] = torch.empty((*self.batch, *spec.shape), dtype=spec.dtype, device="meta")
        self._unknown.discard(key)
        holding = Holding(tuple(spec.shape), name_of(spec.dtype), spec.domain)
        self.there[key] = Given(holding, writer, spec.device, spec)
        self._events.append((key, spec))

    def rehearsed(self, key: Key) -> Iterator[Tensor]:
        """The values of an entry where there is one batch dimension, as a collector has it."""
        for rehearsal in self._rehearsals:
            if len(rehearsal.batch) == 1:
                rehearsal.upto(self._events)
                if key in rehearsal.values:
                    yield rehearsal.values[key]

    def _write(self, key: Key, outcome: Outcome, step: Step) -> None:
        value, spec, support = outcome.outputs[key], declared_spec(step.module, key), outcome.supports.get(key)
        shape, dtype = tuple(value.shape), name_of(value.dtype)
        domain = spec.domain if isinstance(spec, Spec) else domain_of_support(support, value) if support else ""
        self._known[key] = torch.empty(value.shape, dtype=value.dtype, device="meta")
        self._unknown.discard(key)
        batched = shape[: len(self.batch)] == self.batch
        holding = Holding(shape[len(self.batch) :] if batched else shape, dtype, domain, batched)
        self.there[key] = Given(holding, step.part.name, value.device, spec or support)

    def _lacks(self, step: Step) -> bool:
        unread = any(key not in self._known for key in step.part.reads)
        return unread or any(key in self._unknown for key in step.part.optional)

    def _tried(self, step: Step) -> tuple[Outcome, tuple[Failure, ...], str, type[Exception] | None]:
        inputs, on_fakes = self._inputs(step), None
        try:
            outcome = run_on_fakes(step.module, inputs, self.batch)
            if not _mixes_types(step.module, inputs):
                return outcome, (), "", None
        except CANNOT_RUN as error:
            outcome, on_fakes = Outcome({}, {}), type(error)
        zeros = run_on(step.module, {k: torch.zeros_like(v) for k, v in inputs.items()}, self.batch)
        if isinstance(zeros, Outcome):
            return (zeros if on_fakes else outcome), (), "", on_fakes
        attempts = []
        for rehearsal in self._rehearsals:
            rehearsal.upto(self._events)
            attempts.append(rehearsal.attempt(step))
            if isinstance(attempts[-1], Outcome):
                ran = _rebatched(attempts[-1], rehearsal.batch, self.batch)
                return (ran if on_fakes else outcome), (), "", on_fakes
        failures = tuple(attempt for attempt in attempts if isinstance(attempt, Failure))
        error = failures[-1].error if failures else zeros.error
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        return outcome, failures, reason if on_fakes else "", on_fakes

    def _inputs(self, step: Step) -> dict[Key, Tensor]:
        """Shapes and types, and where they are: what comes from another part is brought to where this one computes."""
        inputs, there = {}, device_of(step.module)
        for key in step.module.in_keys:
            if key in self._known:
                here = self.there[key].device if self._origins.get(key) == step.origin else there
                inputs[key] = torch.empty_like(self._known[key], device=here) if here.type == "meta" else _Unmade.of(self._known[key], here)
        return inputs


def infer(steps: Sequence[Step]) -> Trace:
    """Try every step once."""
    inference = Inference(_batch_for(steps), next((step.env.num_envs for step in steps if step.env), None))
    for index, step in enumerate(steps):
        for key, spec in carried_specs(step):
            if spec is not None:
                inference.provide(key, spec, step.part.name)  # the collector feeds it
        inference.run(index, step)
    return Trace(tuple(inference.trials), {key: given.holds for key, given in inference.there.items()})
