"""Critics that do not look at what they judge, or look at what they must not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from torch import nn

from keywork._errors import Finding
from keywork._keys import (
    ACTION,
    ADVANTAGE,
    LOC,
    LOGITS,
    OBSERVATION,
    SCALE,
    STATE_ACTION_VALUE,
    STATE_VALUE,
    Key,
    leaf,
    listed,
    path_of,
)
from keywork.flow._describe import name_of
from keywork.flow._parts import Step
from keywork.flow._upstream import upstream
from keywork.nn import TensorDictModuleBase

_STANDS_FOR_IT = {LOC, SCALE, LOGITS, "param", "probs"}  # what an action is drawn from tells of it


def blind_critics(steps: Sequence[Step]) -> list[Finding]:
    """A finding for each value of state *and action* whose way back never comes across the action.

    Only where all that it comes from is known, and where it is one number, not one for each of the actions.
    """
    parts = [step.part for step in steps]
    findings = []
    for index, step in enumerate(steps):
        values = [key for key in step.part.writes if leaf(key) == STATE_ACTION_VALUE]
        if not values or step.module is None or not _is_one_number(step.module):
            continue
        reads = upstream(parts, index)
        known = all(_is_plain(steps, i, key) for i, keys in reads.items() for key in keys)
        if known and not any(_tells(key) for keys in (*reads.values(), step.part.writes) for key in keys):
            problem = (
                f"{step.part.name} ({step.part.kind}) writes {values[0]!r}, and the action is nowhere in what it "
                "comes from: it would be the same for every action."
            )
            fix = (
                f"let it read the action, in_keys=[{listed(step.part.reads)}, {ACTION!r}], or call what it writes "
                f"{STATE_VALUE!r}."
            )
            findings.append(Finding("blind-critic", problem, f"it reads {listed(step.part.reads)}", fix))
    return findings


def _is_one_number(module: nn.Module) -> bool:
    linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return bool(linears) and linears[-1].out_features == 1


def _is_plain(steps: Sequence[Step], index: int, key: Key) -> bool:
    """Whether it is known what an entry that the part at ``index`` reads does not hide."""
    writer = next((step for step in reversed(steps[:index]) if key in step.part.writes), None)
    return writer is None or writer.part.kind != "input" or leaf(key) == OBSERVATION


def _tells(key: Key) -> bool:
    """Whether an entry tells of the action: by its name, as values and masks of actions do not."""
    told = [name for name in path_of(key) if ACTION in name and "value" not in name and "mask" not in name]
    return bool(told) or leaf(key) in _STANDS_FOR_IT


def knowing_critics(steps: Sequence[Step]) -> list[Finding]:
    """A finding for each critic of states that reads the action, where advantages are made of its values."""
    if all(ADVANTAGE not in map(leaf, (*step.part.inputs, *step.part.writes)) for step in steps):
        return []
    findings, seen = list[Finding](), set[int]()
    for step in steps:
        modules = step.module.modules() if isinstance(step.module, nn.Module) else ()
        for critic in filter(_judges_states, modules):
            read = [key for key in critic.in_keys if leaf(key) == ACTION]
            if read and id(critic) not in seen:
                seen.update(id(part) for part in critic.modules())
                rest = [key for key in critic.in_keys if key not in read]
                problem = (
                    f"the critic {name_of(critic)} of {step.part.name} ({step.part.kind}) reads {listed(read)} and "
                    f"writes {STATE_VALUE!r}: an advantage is measured against the value of the state alone."
                )
                fix = f"let it read the state alone: in_keys=[{listed(rest)}]."
                findings.append(Finding("knowing-critic", problem, f"it reads {listed(critic.in_keys)}", fix))
    return findings


def _judges_states(module: nn.Module) -> TypeGuard[TensorDictModuleBase]:
    writes = list(map(leaf, module.out_keys)) if isinstance(module, TensorDictModuleBase) else []
    return STATE_VALUE in writes and ADVANTAGE not in writes
