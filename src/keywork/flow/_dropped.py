"""Entries that were there and are no longer: a selection of out-keys drops them, or a buffer does not keep them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from keywork._errors import Finding
from keywork._keys import Key, is_parent, listed, next_key
from keywork.flow._describe import name_of
from keywork.flow._graph import Part
from keywork.flow._parts import Step
from keywork.nn import TensorDictModuleBase, TensorDictSequential


def keeps(part: Part, key: Key) -> bool:
    """Whether an entry is still there after a part; a group is kept with all that is in it.

    >>> keeps(Part("buffer", "buffer", keeps=("next",)), ("next", "reward")), keeps(Part("net"), "anything")
    (True, True)
    """
    return part.keeps is None or any(key == kept or is_parent(kept, key) for kept in (*part.keeps, *part.writes))


def dropped(before: Sequence[Step], reading: Step, key: Key) -> Finding | None:
    """The finding where a step before has computed ``key``, and something has dropped it since; else None."""
    part = reading.part
    for whole, writer in _hidden(reading.module, next_key(key)):
        problem = (
            f"{part.name} ({part.kind}) reads {key!r}, and {next_key(key)!r}, which {name_of(writer)} computes for the "
            f"following step, is dropped by the selected out_keys of {name_of(whole)}."
        )
        fix = f"keep it: select_out_keys(..., {next_key(key)!r})."
        return Finding("dropped-key", problem, f"kept: {listed(list(reading.module.out_keys))}", fix)
    reader = f"{part.name} ({part.kind}) reads {key!r}"
    for index in reversed(range(len(before))):
        step = before[index]
        written = any(key in other.part.writes for other in before[:index])
        if written and not keeps(step.part, key):
            problem = f"{reader}, which {step.part.name} ({step.part.kind}) does not keep."
            provided = f"it keeps {listed(step.part.keeps or ())}"
            fix = f"let {step.part.name} keep {key!r} too: keys=[...] of a ReplayBuffer, keeps=(...) of a Part."
            return Finding("dropped-key", problem, provided, fix)
        for whole, writer in _hidden(step.module, key):
            selected = "its selected out_keys" if whole is writer else f"the selected out_keys of {name_of(whole)}"
            problem = f"{reader}, which {name_of(writer)} computes and {selected} drop."
            kept = listed(list(step.module.out_keys))
            return Finding("dropped-key", problem, f"kept: {kept}", f"keep it: select_out_keys(..., {key!r}).")
    return None


def _hidden(module: Any, key: Key) -> Iterator[tuple[Any, Any]]:
    """What drops ``key``, and the step in it that computes it."""
    if not isinstance(module, TensorDictModuleBase) or key in module.out_keys:
        return
    if isinstance(module, TensorDictSequential):
        for child in module:
            if key in child.out_keys:
                yield module, child
            yield from _hidden(child, key)
    elif _declares(module, key):
        yield module, module


def _declares(module: TensorDictModuleBase, key: Key) -> bool:
    return key in copy.copy(module).reset_out_keys().out_keys
