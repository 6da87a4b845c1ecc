"""The steps of a pipeline under other keys, with another part in the place of one, or cut out between two sets of keys.

None of this changes a step or a module: what is new shares its parameters with what was there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from keywork._errors import ContractError, Finding
from keywork._keys import Key, as_key, as_keys, listed, meant, nearest, renamed, renaming, unique
from keywork._wiring import check_names, unknown_names
from keywork.flow._describe import unique_names
from keywork.flow._graph import Holding, Part
from keywork.flow._parts import Step, is_env, steps_of
from keywork.nn import TensorDictSequential
from keywork.specs import TensorSpec, Unbounded


class _RenamedEnv:
    """An environment whose action goes by another name in a flow."""

    def __init__(self, env: Any, names: Mapping[Key, Key]) -> None:
        self._env, self.action_key = env, renamed(env.action_key, names)

    def __getattr__(self, name: str) -> Any:
        if name == "_env":  # of a copy that has nothing yet
            raise AttributeError(name)
        return getattr(self._env, name)


def renamed_steps(steps: Sequence[Step], names: Mapping[Any, Any]) -> list[Step]:
    """The steps under other keys.

    Raises:
        ContractError: there is no such key.
        ValueError: two entries would get one key.
    """
    keys = _keys_of(steps)
    findings = check_names(names, keys)
    if findings:
        raise ContractError("Flow under other keys", findings)
    new = {as_key(old): as_key(name) for old, name in names.items()}
    renaming(keys, new)
    return [
        replace(
            step,
            part=_renamed_part(step.part, new),
            module=None if step.module is None else _renamed_module(step.module, new),
            specs={renamed(key, new): spec for key, spec in step.specs.items()},
            env=None if step.env is None else _RenamedEnv(step.env, new),
        )
        for step in steps
    ]


def _renamed_part(part: Part, names: Mapping[Key, Key]) -> Part:
    reads, writes, optional, carries, keeps = (
        tuple([renamed(key, names) for key in keys])
        for keys in (part.reads, part.writes, part.optional, part.carries, part.keeps or ())
    )
    kept = None if part.keeps is None else keeps
    return replace(part, reads=reads, writes=writes, optional=optional, carries=carries, keeps=kept)


def _renamed_module(module: Any, names: Mapping[Key, Key]) -> Any:
    keys = as_keys([*module.in_keys, *module.out_keys])
    own = {old: new for old, new in names.items() if not unknown_names([old], keys)}
    # As a step, for that one can be of another library, and then runs on TensorDicts in which its own keys are.
    return TensorDictSequential(module).renamed(own)[0] if own else module


def replaced_steps(steps: Sequence[Step], name: str, thing: Any) -> list[Step]:
    """The steps with those of another thing in the place of the part ``name``; of an environment, of both its parts.

    Raises:
        ContractError: there is no such part, or the thing is none.
    """
    there = [step.part.name for step in steps]
    if name not in there:
        near = nearest(name, there, 0.6)
        fix = f"did you mean {near!r}?" if near else "name one of these."
        finding = Finding("unknown-part", f"there is no part {name!r} to replace.", f"its parts {listed(there)}", fix)
        raise ContractError("Flow with another part", [finding])
    at = there.index(name)
    if steps[at].part.kind == "env" and is_env(thing):
        result = _in_another_env(steps, thing)
    else:
        before = [step.part for step in steps[:at]]
        new = [replace(step, origin=steps[at].origin) for step in steps_of([*before, thing])[at:]]
        result = [*steps[:at], *new, *steps[at + 1 :]]
    names = unique_names(step.part.name for step in result)
    return [replace(step, part=replace(step.part, name=n)) for step, n in zip(result, names, strict=True)]


def _in_another_env(steps: Sequence[Step], env: Any) -> list[Step]:
    """What the environment shows first, and what an action leads to, each in the place of the old one."""
    others = [step.part for step in steps if step.part.kind != "env"]
    first, after = (step for step in steps_of([env, *others]) if step.part.kind == "env")
    places = [after if step.env is not None else first if step.part.kind == "env" else step for step in steps]
    return [replace(new, origin=old.origin) for new, old in zip(places, steps, strict=True)]


def steps_between(steps: Sequence[Step], holdings: Mapping[Key, Holding], inputs: Any, outputs: Any) -> list[Step]:
    """The steps on the way from the keys ``inputs`` to the keys ``outputs``, and what they take from outside.

    None stands for all that is there in front, or behind.

    Raises:
        ContractError: there is no such key, or no way.
    """
    given, wanted = (None if keys is None else as_keys(keys) for keys in (inputs, outputs))
    known = _keys_of(steps)
    findings = [
        Finding("unknown-key", f"there is no {key!r}.", f"its keys {listed(known)}", f"{meant(key, known)}Name a key.")
        for key in (*(given or ()), *(wanted or ()))
        if key not in known
    ]
    if findings:
        raise ContractError("Flow between two sets of keys", findings)
    kept = _on_the_way(steps, given, wanted)
    written = {key for step in kept for key in step.part.writes}
    lost = [key for key in wanted or () if key not in written] if kept else list(wanted or given or ())
    if lost or not kept:
        problem = f"no way leads from {'the beginning' if given is None else listed(given)} to {listed(lost)}."
        fix = "name keys of which the one follows from the other; None stands for the beginning, or the end."
        raise ContractError("Flow between two sets of keys", [Finding("no-way", problem, "", fix)])
    return [*_outside(kept, steps, holdings), *kept]


def _on_the_way(steps: Sequence[Step], given: Sequence[Key] | None, wanted: Sequence[Key] | None) -> list[Step]:
    chosen = list(steps)
    if given is not None:
        reached, after = set(given), []
        for step in chosen:
            if not reached.isdisjoint(step.part.inputs):
                reached.update(step.part.writes)
                after.append(step)
        chosen = after
    if wanted is not None:
        asked, needed = set(wanted), []
        for step in reversed(chosen):
            if not asked.isdisjoint(step.part.writes):
                asked.difference_update(step.part.writes)
                asked.update(key for key in step.part.inputs if key not in (given or ()))
                needed.append(step)
        chosen = needed[::-1]
    return chosen


def _outside(kept: Sequence[Step], steps: Sequence[Step], holdings: Mapping[Key, Holding]) -> list[Step]:
    """A step that stands for what they read and nobody of them writes."""
    written = {key for step in kept for key in step.part.carries}
    outside: list[Key] = []
    for step in kept:
        outside += [key for key in step.part.reads if key not in written]
        written.update(step.part.writes)
    if not outside:
        return []
    said = {key: spec for step in steps for key, spec in step.specs.items()}
    found = {key: said.get(key) or _spec_of(holdings[key]) for key in unique(outside) if key in holdings}
    specs = {key: spec for key, spec in found.items() if spec is not None}
    return [Step(Part("inputs", "input", writes=unique(outside)), specs=specs)]


def _spec_of(holding: Holding) -> TensorSpec | None:
    known = holding.shape is not None and holding.dtype and holding.batched
    return Unbounded(holding.shape or (), getattr(torch, holding.dtype)) if known else None


def _keys_of(steps: Sequence[Step]) -> tuple[Key, ...]:
    return unique(key for step in steps for key in (*step.part.inputs, *step.part.writes))
