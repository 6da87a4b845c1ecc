"""The checks of a chain of key modules: pure functions from contracts to findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

from keywork._errors import Finding
from keywork._keys import Key, is_parent, leaf, listed, misspelling, next_key
from keywork.nn._contract import Contract


class Step(NamedTuple):
    """A step as the checks see it: what it is called, and its contract."""

    label: str
    contract: Contract


def check_chain(steps: Sequence[Step], external: Iterable[Key] = ()) -> list[Finding]:
    """Everything that is wrong with running these steps in this order, where ``external`` comes from outside."""
    known, findings = set(external), []
    for index, step in enumerate(steps):
        for key in step.contract.inputs:
            if key not in known:
                findings += _late_producer(steps, index, key) or _near_miss(steps, index, key)
        known.update(step.contract.writes)
    return findings + _double_writes(steps) + _leaves_as_parents(steps, set(external))


def _late_producer(steps: Sequence[Step], index: int, key: Key) -> list[Finding]:
    writer = next((step for step in steps[index + 1 :] if key in step.contract.writes), None)
    if writer is None or key in writer.contract.inputs:  # the latter updates an entry that comes from outside
        return []
    reader = steps[index].label
    fix = f"move {writer.label} before {reader}, or pass external=[{key!r}] if this one comes from outside."
    problem = f"{reader} reads {key!r} before {writer.label} writes it."
    return [Finding("consumer-before-producer", problem, _provided(steps, index), fix)]


def _near_miss(steps: Sequence[Step], index: int, key: Key) -> list[Finding]:
    near = misspelling(key, _unread(steps, index))
    if near is None or key in steps[index].contract.optional:
        return []
    fix = f"did you mean {near!r}? Rename one of the two, or pass external=[{key!r}] if it comes from outside."
    problem = f"{steps[index].label} reads {key!r}, which nothing before it writes."
    return [Finding("near-miss", problem, _provided(steps, index), fix)]


def _unread(steps: Sequence[Step], index: int) -> list[Key]:
    """What the steps before ``index`` write and no step after them reads."""
    return [
        key
        for position, step in enumerate(steps[:index])
        for key in step.contract.writes
        if not any(key in later.contract.inputs for later in steps[position + 1 :])
    ]


def _double_writes(steps: Sequence[Step]) -> list[Finding]:
    findings = []
    pending: dict[Key, Step] = {}
    for step in steps:
        for key in step.contract.inputs:
            for held in [k for k in pending if k == key or is_parent(key, k)]:
                del pending[held]
        for key in step.contract.writes:
            first = pending.get(key)
            if first is not None:
                problem = f"{first.label} and {step.label} both write {key!r}, and nothing reads it between."
                writes = f"{listed(first.contract.writes)} by the first, {listed(step.contract.writes)} by the second"
                fix = f"the first is lost: give one another key, such as '{leaf(key)}_2', or '_' to drop it."
                if any(key == next_key(state) for state in step.contract.carries):
                    fix = f"two modules share one state: give one another in its in_keys, such as '{leaf(key)}_2'."
                findings.append(Finding("double-write", problem, writes, fix))
            pending[key] = step
    return findings


def _leaves_as_parents(steps: Sequence[Step], external: set[Key]) -> list[Finding]:
    findings = []
    for (position, step), (index, other) in product(enumerate(steps), repeat=2):
        used = other.contract.writes + (other.contract.inputs if index > position else ())
        for key, inside in product(step.contract.writes, used):
            if is_parent(key, inside) and inside not in external:
                verb = "writes" if inside in other.contract.writes else "reads"
                problem = f"{step.label} writes {key!r}, and {other.label} {verb} {inside!r} inside it."
                fix = f"an entry is a tensor or a group of entries: rename {key!r}, or pass external=[{inside!r}]."
                findings.append(Finding("leaf-as-parent", problem, listed(step.contract.writes), fix))
    return findings


def _provided(steps: Sequence[Step], index: int) -> str:
    """What there is for step ``index``: the inputs of the steps before it, and what they write."""
    inputs, written = list[str](), list[tuple[Key, str]]()
    unread = _unread(steps, len(steps))
    for step in steps[:index]:
        names = [key for key, _ in written]
        inputs += [f"{key!r} (input)" for key in step.contract.inputs if key not in names]
        written += [(key, step.label.partition(" (")[0]) for key in step.contract.writes]
    outputs = [f"{k!r} (written by {who}{', read by no one' if k in unread else ''})" for k, who in written]
    return ", ".join(dict.fromkeys(inputs + outputs)) or "nothing"
