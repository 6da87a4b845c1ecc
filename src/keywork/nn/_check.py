"""The checks of a chain of key modules: pure functions from contracts to findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keywork._errors import Finding
from keywork._keys import Key, is_parent, leaf, listed, nearest, path_of, unique
from keywork.nn._contract import Contract


@dataclass(frozen=True, slots=True)
class Step:
    """A step as the checks see it: what it is called, and its contract."""

    label: str
    contract: Contract


def check_chain(steps: Sequence[Step], external: Iterable[Key] = ()) -> list[Finding]:
    """Everything that is wrong with running these steps one after the other.

    Args:
        steps: in the order in which they run.
        external: keys that come from outside on purpose, however near they are to a key written inside.
    """
    outside = set(external)
    findings: list[Finding] = []
    for index, step in enumerate(steps):
        for key in step.contract.inputs:
            if key in outside or any(key in earlier.contract.writes for earlier in steps[:index]):
                continue
            found = _late_producer(steps, index, key)
            if found is None and key in step.contract.reads:
                found = _near_miss(steps, index, key)
            if found is not None:
                findings.append(found)
    findings += _double_writes(steps)
    findings += _leaves_as_parents(steps)
    return findings


def _late_producer(steps: Sequence[Step], index: int, key: Key) -> Finding | None:
    for later in range(index + 1, len(steps)):
        contract = steps[later].contract
        if key in contract.writes:
            if key in contract.inputs:
                return None  # an entry from outside that a later step updates
            return Finding(
                "consumer-before-producer",
                f"{steps[index].label} reads {key!r} before {steps[later].label} writes it.",
                _provided(steps, index),
                f"move {steps[later].label} before {steps[index].label}, or pass external=[{key!r}] "
                "if the one that is read comes from outside.",
            )
    return None


def _near_miss(steps: Sequence[Step], index: int, key: Key) -> Finding | None:
    unread = [
        written
        for position, step in enumerate(steps[:index])
        for written in step.contract.writes
        if not any(written in other.contract.inputs for other in steps[position + 1 :])
    ]
    near = nearest(key, [written for written in unread if _comparable(key, written)])
    if near is None:
        return None
    return Finding(
        "near-miss",
        f"{steps[index].label} reads {key!r}, which nothing before it writes.",
        _provided(steps, index),
        f"did you mean {near!r}? Rename one of the two, or pass external=[{key!r}] if it comes from outside.",
    )


def _comparable(key: Key, other: Key) -> bool:
    """Whether one could be a misspelling of the other: siblings, and not deliberately numbered names."""
    ours, theirs = path_of(key), path_of(other)
    if len(ours) != len(theirs) or sum(a != b for a, b in zip(ours, theirs, strict=True)) != 1:
        return False

    def without_digits(path: tuple[str, ...]) -> list[str]:
        return ["".join(c for c in part if not c.isdigit()) for part in path]

    return without_digits(ours) != without_digits(theirs)


def _double_writes(steps: Sequence[Step]) -> list[Finding]:
    findings = []
    pending: dict[Key, Step] = {}
    for step in steps:
        for key in step.contract.inputs:
            for held in list(pending):
                if held == key or is_parent(key, held) or is_parent(held, key):
                    del pending[held]
        for key in step.contract.writes:
            first = pending.get(key)
            if first is not None:
                findings.append(
                    Finding(
                        "double-write",
                        f"{first.label} and {step.label} both write {key!r}, and nothing reads it between.",
                        f"{first.label} writes {listed(first.contract.writes)}; "
                        f"{step.label} writes {listed(step.contract.writes)}",
                        f"the first is lost: give one of the two another out_key, such as '{leaf(key)}_2', "
                        "or '_' to drop it.",
                    )
                )
            pending[key] = step
    return findings


def _leaves_as_parents(steps: Sequence[Step]) -> list[Finding]:
    findings = []
    for position, step in enumerate(steps):
        for key in step.contract.writes:
            for index, other in enumerate(steps):
                used = other.contract.writes + (other.contract.inputs if index > position else ())
                inside = [k for k in unique(used) if is_parent(key, k)]
                if inside:
                    verb = "writes" if inside[0] in other.contract.writes else "reads"
                    findings.append(
                        Finding(
                            "leaf-as-parent",
                            f"{step.label} writes {key!r} as a tensor, and {other.label} {verb} {inside[0]!r} inside it.",
                            f"{step.label} writes {listed(step.contract.writes)}",
                            f"an entry is either a tensor or a group: rename {key!r}, or write {(*path_of(key), 'value')!r}.",
                        )
                    )
    return findings


def _provided(steps: Sequence[Step], index: int) -> str:
    """What there is for step ``index``: the inputs of the steps before it, and what they write."""
    parts = []
    written: dict[Key, int] = {}
    for position, step in enumerate(steps[:index]):
        parts += [f"{key!r} (input)" for key in step.contract.inputs if key not in written]
        written |= {key: position for key in step.contract.writes}
    for key, position in written.items():
        read = any(key in step.contract.inputs for step in steps[position + 1 :])
        parts.append(f"{key!r} (written by step {position}{'' if read else ', read by no one'})")
    return ", ".join(dict.fromkeys(parts)) or "nothing"
