"""What modules write, found out without data: each one runs once on tensors that have a shape but no values.

Where that is impossible (a module looks at values, say), it runs on zeros, and then on values that the specs allow.
Either way it is a copy that runs, without gradients, and all random state is afterwards as it was before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from keywork._errors import Finding
from keywork._keys import Key
from keywork.flow._carried import carried_specs
from keywork.flow._domain import declared_spec, domain_of_support
from keywork.flow._graph import Holding
from keywork.flow._misfit import misfit_of
from keywork.flow._misfit_action import misfits_of_action
from keywork.flow._misfit_carried import misfits_of_carried
from keywork.flow._misfit_rows import mixed_rows, mixing_layers
from keywork.flow._parts import Step
from keywork.flow._rehearsal import Event, Rehearsal
from keywork.flow._trace import Given, Trace, Trial
from keywork.flow._trial import CANNOT_RUN, Blank, Failure, Outcome, device_of, run_on, run_on_fakes
from keywork.specs import Categorical, Spec, TensorSpec

_SIZES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


class Inference:
    """What is known of each entry after the steps so far.

    Args:
        batch: the two batch dimensions on which modules run, as collected data has them.
        num_envs: how many rows an environment's batch has; None without one.

    Attributes:
        trials: of the steps so far.
        there: what every entry holds by now.
        findings: what cannot work.
        notes: what could not be found out, and why.
    """

    def __init__(self, batch: tuple[int, int], num_envs: int | None = None) -> None:
        self.batch = batch
        self.trials: list[Trial] = []
        self.there: dict[Key, Given] = {}
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self._unknown: set[Key] = set()  # written, but nobody knows what
        self._origins: dict[Key, int] = {}
        self._events: list[Event] = []
        self._collects = num_envs is not None
        # Collectors have one batch dimension, and as many rows as environments; without one, there may be none at all.
        rows = [(prod(batch),), batch, (num_envs,) if num_envs else ()]
        self._rehearsals = [Rehearsal(batch) for batch in rows]

    def run(self, index: int, step: Step) -> None:
        """Learn what one step writes, and what is wrong with it."""
        given = {key: self.there[key] for key in step.part.inputs if key in self.there}
        trial, outcome = Trial(index, step, given, dict(self.there)), Outcome({}, {})
        if step.module is not None and not self._lacks(step):
            outcome, failures, on_fakes = self._tried(step)
            trial = replace(trial, failures=failures, on_fakes=on_fakes)
            outcome = self._judged(trial, outcome)
            if self._collects and not trial.failures and mixing_layers(step):
                self.findings += mixed_rows(trial, self._alone())
        elif step.env is not None:
            self.findings += misfits_of_action(trial, self._rehearsed(step.env.action_key))
        self._events.append(step)
        for key in step.part.writes:
            self.there.pop(key, None)
            self._unknown.add(key)
            self._origins[key] = step.origin
            if key in step.specs:
                self.provide(key, step.specs[key], step.part.name)
            elif key in outcome.outputs:
                self._write(key, outcome, step)
        self._lend_domains(step)
        trial = replace(trial, wrote={k: self.there[k] for k in step.part.writes if k in self.there})
        self.findings += misfits_of_carried(trial)
        self.trials.append(trial)

    def provide(self, key: Key, spec: TensorSpec, writer: str) -> None:
        """An entry that holds what a spec says."""
        self._unknown.discard(key)
        self._origins.pop(key, None)
        self.there[key] = Given(
            Holding(tuple(spec.shape), name_of(spec.dtype), spec.domain), writer, spec.dtype, spec.device, spec
        )
        self._events.append((key, spec))

    def _write(self, key: Key, outcome: Outcome, step: Step) -> None:
        value, support = outcome.outputs[key], outcome.supports.get(key)
        shape = tuple(value.shape)
        batched = shape[: len(self.batch)] == self.batch
        spec = declared_spec(step.module, key) or self._counted(step, key, value)
        domain = spec.domain if spec is not None else domain_of_support(support, value) if support is not None else ""
        holding = Holding(shape[len(self.batch) :] if batched else shape, name_of(value.dtype), domain, batched)
        self._unknown.discard(key)
        reach = spec if spec is not None else None if key in outcome.points else support
        self.there[key] = Given(holding, step.part.name, value.dtype, value.device, reach)

    def _counted(self, step: Step, key: Key, value: Tensor) -> Spec | None:
        """Of an index that says which of some values is the best: there are as many as values."""
        values = self.there.get(getattr(step.module, "action_value_key", key))
        is_index = key == getattr(step.module, "action_key", None) and value.shape == self.batch
        if values is None or not is_index or value.dtype is not torch.int64 or len(values.shape) != 1:
            return None
        return Categorical(values.shape[0])

    def _lend_domains(self, step: Step) -> None:
        """Where nobody has said which values there are, they are those that the environment takes."""
        for key, spec in step.specs.items():
            held = self.there.get(key)
            if held is not None and not held.holds.domain:
                self.there[key] = replace(held, holds=replace(held.holds, domain=spec.domain))

    def _lacks(self, step: Step) -> bool:
        unread = any(key not in self.there for key in step.part.reads)
        return unread or any(key in self._unknown for key in step.part.optional)

    def _tried(self, step: Step) -> tuple[Outcome, tuple[Failure, ...], type[Exception] | None]:
        """What a step writes; if it fails on any values, how. Tensors without values are not asked for their types."""
        inputs, on_fakes = self._inputs(step), None
        try:
            outcome, doubtful = run_on_fakes(step.module, inputs, self.batch)
            if not doubtful:
                return outcome, (), None
        except CANNOT_RUN as error:
            outcome, on_fakes = Outcome({}, {}), type(error)
        zeros = run_on(step.module, {key: blank.zeros() for key, blank in inputs.items()}, self.batch)
        if isinstance(zeros, Outcome):
            return (zeros if on_fakes else outcome), (), on_fakes
        failures = []
        for rehearsal in self._rehearsals:
            rehearsal.upto(self._events)
            attempt = rehearsal.attempt(step)
            if isinstance(attempt, Outcome):
                return (_rebatched(attempt, rehearsal.batch, self.batch) if on_fakes else outcome), (), on_fakes
            failures += [] if attempt is None else [attempt]
        return outcome, tuple(failures or [zeros]), on_fakes

    def _judged(self, trial: Trial, outcome: Outcome) -> Outcome:
        if not trial.failures:
            return outcome
        finding = misfit_of(trial)
        if finding is not None:
            self.findings.append(finding)
            return Outcome({}, {})
        if trial.on_fakes is not None:
            error = trial.failures[:2][-1].error  # with two batch dimensions, as data have them
            reason = next(iter(str(error).splitlines()), "")
            self.notes.append(f"what {trial.step.part.name} writes is not known: {type(error).__name__}: {reason}")
        return outcome

    def _inputs(self, step: Step) -> dict[Key, Blank]:
        """What comes from another thing is brought to where this one computes; what is from the same one is not."""
        inputs, there = {}, device_of(step.module)
        for key in step.module.in_keys:
            if key in self.there:
                given = self.there[key]
                shape = (*self.batch, *given.shape) if given.holds.batched else given.shape
                here = given.device if self._origins.get(key, -1) == step.origin else there
                inputs[key] = Blank(shape, given.dtype, here)
        return inputs

    def _rehearsed(self, key: Key) -> Iterator[tuple[int, Tensor]]:
        """How many rows there are, and the values of an entry then, where a batch has one dimension as collectors'."""
        for rehearsal in self._rehearsals:
            if len(rehearsal.batch) == 1:
                rehearsal.upto(self._events)
                if key in rehearsal.values:
                    yield rehearsal.batch[0], rehearsal.values[key]

    def _alone(self) -> Rehearsal:
        """As a collector runs a policy: with one batch dimension."""
        self._rehearsals[0].upto(self._events)
        return self._rehearsals[0]


def infer(steps: Sequence[Step]) -> Trace:
    """Try every step once."""
    envs = [step.env for step in steps if step.env is not None]
    inference = Inference(_batch_for(steps), getattr(envs[0], "num_envs", None) if envs else None)
    for index, step in enumerate(steps):
        for key, spec in carried_specs(step):
            if spec is not None:
                inference.provide(key, spec, f"{step.part.name}, step before")  # the collector feeds it
        inference.run(index, step)
    holdings = {key: given.holds for key, given in inference.there.items()}
    return Trace(tuple(inference.trials), holdings, tuple(inference.findings), tuple(inference.notes))


def _batch_for(steps: Sequence[Step]) -> tuple[int, int]:
    """Sizes that no entry and no parameter has, so that a batch dimension is not taken for another one."""
    taken = {size for step in steps for spec in step.specs.values() for size in spec.shape}
    for step in steps:
        if isinstance(step.module, nn.Module):
            taken.update(n for p in step.module.parameters() if not is_lazy(p) for n in p.shape)
    return next((pair for pair in pairwise(_SIZES) if not taken & {*pair, prod(pair)}), (41, 43))


def _rebatched(outcome: Outcome, batch: tuple[int, ...], wanted: tuple[int, ...]) -> Outcome:
    """The same outputs, as they would be with other batch dimensions: of their values none is of use."""
    outputs = {
        key: value.new_empty((*wanted, *value.shape[len(batch) :])) if value.shape[: len(batch)] == batch else value
        for key, value in outcome.outputs.items()
    }
    return Outcome(outputs, outcome.supports, outcome.points)


def name_of(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")
