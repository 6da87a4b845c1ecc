"""Entries that are written again before anybody has read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keywork._errors import Finding
from keywork._keys import STATE_VALUE, Key, is_parent, leaf, listed, next_key, with_suffix
from keywork.flow._check import action_of
from keywork.flow._parts import Step

_STORES = ("buffer", "collector")  # whatever there is then is not lost, even if nobody has read it


def overwritten(steps: Sequence[Step]) -> list[Finding]:
    """A finding for each entry that two parts write, and that nothing reads between.

    Right are a part that updates what it reads, an estimator that computes the values of a batch anew, losses (which
    return their own), and one and the same computation done twice, as by two operators on one trunk.
    """
    action = action_of([step.part for step in steps])
    findings, pending = list[Finding](), dict[Key, Step]()
    for step in steps:
        for key in step.part.inputs:
            for held in [k for k in pending if k == key or is_parent(key, k)]:
                del pending[held]
        if step.part.kind in _STORES:
            pending.clear()
        for key in step.part.writes:
            first = pending.get(key)
            rivals = first is not None and action in first.part.writes and action in step.part.writes
            if first is not None and not _is_right(first, step, key) and (key == action or not rivals):
                findings.append(_finding(first, step, key, action))
            pending[key] = step
    return findings


def _is_right(first: Step, second: Step, key: Key) -> bool:
    kinds = first.part.kind, second.part.kind
    again = kinds[1] == "estimator" and leaf(key) == STATE_VALUE
    # Two sources of one state are a finding of their own: see shared_states.
    carried = any(key == next_key(state) for step in (first, second) for state in step.part.carries)
    return again or carried or kinds == ("loss", "loss") or same_computation(first.module, second.module)


def same_computation(one: Any, other: Any) -> bool:
    """Whether two modules are one, or the same keys with the same parameters."""
    if one is None or other is None or one is other:
        return one is other and one is not None
    mine, theirs = ([id(p) for p in module.parameters()] for module in (one, other))
    return bool(mine) and mine == theirs and [one.in_keys, one.out_keys] == [other.in_keys, other.out_keys]


def _finding(first: Step, second: Step, key: Key, action: Key) -> Finding:
    one, other = (f"{step.part.name} ({step.part.kind})" for step in (first, second))
    if second.part.kind == "env":
        return Finding(
            "dead-write",
            f"{one} writes {key!r}, which nothing reads, and {other} overwrites it.",
            f"{second.part.name} writes {listed(second.part.writes)}",
            f"give what {first.part.name} writes a key of its own, such as {with_suffix(key, '_2')!r}, or '_' to drop "
            "it.",
        )
    if key == action:
        return Finding(
            "two-policies",
            f"{one} and {other} both write {key!r}, and nothing reads it between: there are two policies.",
            f"{listed(first.part.writes)} by the first, {listed(second.part.writes)} by the second",
            f"leave one out, let the second change what it reads (in_keys=[{key!r}, ...]), or give one another key: "
            f"out_keys=[{with_suffix(key, '_2')!r}].",
        )
    return Finding(
        "double-write",
        f"{one} and {other} both write {key!r}, and nothing reads it between.",
        f"{listed(first.part.writes)} by the first, {listed(second.part.writes)} by the second",
        f"the first is lost: give one another key, such as {with_suffix(key, '_2')!r}, or '_' to drop it.",
    )
