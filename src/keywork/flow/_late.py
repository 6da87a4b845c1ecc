"""Normalisers that come after the networks that were to read what they write."""

from __future__ import annotations

from collections.abc import Sequence

from keywork._errors import Finding
from keywork._keys import Key
from keywork.flow._check import action_of
from keywork.flow._parts import Step


def late_normalisers(steps: Sequence[Step]) -> list[Finding]:
    """A finding for each entry from outside that a network reads before another part of the policy rewrites it.

    Such a network acts on the raw entry, and what is stored for it to learn from is the rewritten one. That is certain
    where nothing else reads the rewritten entry before the environment's step, or a loss has the very same network.
    What is rewritten after that step (random crops of stored images, say) is right.
    """
    action, acts = action_of([step.part for step in steps]), _end_of_acting(steps)
    shown = {key for step in steps[:acts] if step.part.kind in ("env", "input") for key in step.part.writes} - {action}
    findings = []
    for index, step in enumerate(steps[:acts]):
        for key in step.part.reads if step.part.kind != "exploration" else ():
            if key in shown and key in step.part.writes:
                unread = not any(key in later.part.inputs for later in steps[index + 1 : acts])
                losses = [later for later in steps[acts:] if later.part.kind == "loss" and key in later.part.inputs]
                networks = [first for first in steps[:index] if _is_network(first, key) and not _feeds(first, step)]
                early = [first for first in networks if unread or _is_in(first, losses)]
                findings += [_finding(first, step, key) for first in early]
    return findings


def _end_of_acting(steps: Sequence[Step]) -> int:
    """Where the environment takes its step; without one all acts, or (who knows what is stored) nothing does."""
    if any(step.part.kind == "env" for step in steps):
        return next((i for i, step in enumerate(steps) if step.part.kind == "env" and step.part.reads), 0)
    learning = any(step.part.kind in ("buffer", "collector", "estimator", "loss") for step in steps)
    return 0 if learning else len(steps)


def _is_network(step: Step, key: Key) -> bool:
    """Whether a step computes something from the entry with parameters of its own, as far as that is known."""
    if step.part.kind not in ("policy", "value") or key not in step.part.inputs or key in step.part.writes:
        return False
    return step.module is None or any(parameter.requires_grad for parameter in step.module.parameters())


def _is_in(network: Step, losses: Sequence[Step]) -> bool:
    own = {id(parameter) for parameter in network.module.parameters()} if network.module is not None else set()
    learn = (loss.module for loss in losses if loss.module is not None)
    return any(id(parameter) in own for module in learn for parameter in module.parameters())


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
