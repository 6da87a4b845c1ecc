"""Normalisers that come after the networks that were to read what they write."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from keywork._errors import Finding
from keywork._keys import Key
from keywork.flow._check import action_of
from keywork.flow._parts import Step


def late_normalisers(steps: Sequence[Step]) -> list[Finding]:
    """A finding for each entry from outside that a network reads before another part rewrites it.

    Such a network acts on the raw entry, and what is stored for it to learn from is the rewritten one. That is certain
    where nothing reads the rewritten entry before the environment's step, or a loss has the very same network.
    """
    action = action_of([step.part for step in steps])
    before = list(takewhile(lambda step: not (step.part.kind == "env" and step.part.reads), steps))
    shown = {key for step in before if step.part.kind in ("env", "input") for key in step.part.writes} - {action}
    findings = []
    for index, step in enumerate(before):
        for key in step.part.reads:
            if key in shown and key in step.part.writes and step.part.kind != "exploration":
                seen_later = any(key in later.part.inputs for later in before[index + 1 :])
                networks = [first for first in before[:index] if _is_network(first, key)]
                early = [first for first in networks if not seen_later or _is_in_a_loss(first, steps)]
                findings += [_finding(first, step, key) for first in early if not _feeds(first, step)]
    return findings


def _is_network(step: Step, key: Key) -> bool:
    """Whether a step computes something from the entry with parameters of its own, as far as that is known."""
    if step.part.kind not in ("policy", "value") or key not in step.part.inputs or key in step.part.writes:
        return False
    return step.module is None or any(parameter.requires_grad for parameter in step.module.parameters())


def _is_in_a_loss(network: Step, steps: Sequence[Step]) -> bool:
    losses = [step.module for step in steps if step.part.kind == "loss" and step.module is not None]
    own = {id(parameter) for parameter in network.module.parameters()} if network.module is not None else set()
    return any(id(parameter) in own for loss in losses for parameter in loss.parameters())


def _feeds(first: Step, step: Step) -> bool:
    return any(key in first.part.writes for key in step.part.inputs)


def _finding(network: Step, normaliser: Step, key: Key) -> Finding:
    return Finding(
        "late-normaliser",
        f"{network.part.name} ({network.part.kind}) reads {key!r} before {normaliser.part.name} rewrites it: it acts "
        "on the raw entry, and the rewritten one is stored for it to learn from.",
        f"{normaliser.part.name} reads and writes {key!r}",
        f"put {normaliser.part.name} before {network.part.name}.",
    )
