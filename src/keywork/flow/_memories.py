"""States that are carried from step to step: whose they are, and who hands them on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keywork._errors import Finding
from keywork._keys import Key, next_key, with_suffix
from keywork.flow._overwritten import same_computation
from keywork.flow._parts import Step
from keywork.flow._upstream import upstream


def shared_states(steps: Sequence[Step]) -> list[Finding]:
    """A finding for every two parts that carry a state of their own under one key, or one that an environment shows.

    One module that occurs twice, as the trunk of an actor and of a critic does, has one memory, and is right.
    """
    findings, owners = list[Finding](), dict[Key, Step]()
    shown = {key: step.part.name for step in steps if step.part.kind == "env" for key in step.part.writes}
    for step in steps:
        for key in step.part.carries:
            if key in shown:
                problem = (
                    f"{step.part.name} ({step.part.kind}) carries {key!r} from step to step, and the environment "
                    f"{shown[key]} shows it."
                )
                fix = f"give the state another key, such as {with_suffix(key, '_2')!r} in its in_keys."
                findings.append(Finding("two-sources", problem, "", fix))
            first = owners.setdefault(key, step)
            if first is not step and not same_computation(first.module, step.module):
                problem = (
                    f"{first.part.name} ({first.part.kind}) and {step.part.name} ({step.part.kind}) both carry "
                    f"{key!r} from step to step: two memories would have one state, that of the second."
                )
                fix = (
                    f"give one of them another key, such as {with_suffix(key, '_2')!r} in its in_keys; "
                    "or use one module in both places, if they are to remember the same."
                )
                findings.append(Finding("shared-state", problem, "", fix))
    return findings


def unwritten_states(steps: Sequence[Step]) -> list[Finding]:
    """A finding for every state that is said to be carried, and whose next one nobody writes."""
    written = {key for step in steps for key in step.part.writes}
    findings = []
    for step in steps:
        for key in step.part.carries:
            if next_key(key) not in written:
                problem = (
                    f"{step.part.name} ({step.part.kind}) carries {key!r} from step to step, and nobody writes "
                    f"{next_key(key)!r}: the step after would have none."
                )
                fix = f"write it, out_keys=[..., {next_key(key)!r}], or do not carry {key!r}."
                findings.append(Finding("unwritten-state", problem, "", fix))
    return findings


def backward_memories(steps: Sequence[Step]) -> list[Finding]:
    """A finding for every memory on the way to an environment's action that also runs backwards in time.

    Where it only learns, from sequences that are complete, it is right.
    """
    parts, findings = [step.part for step in steps], list[Finding]()
    for index, step in enumerate(steps):
        acting = upstream(parts, index) if step.env is not None else {}
        for part, module in ((parts[i], steps[i].module) for i in acting if steps[i].module is not None):
            if any(map(_runs_backwards, module.modules())):
                problem = (
                    f"{part.name} ({part.kind}) runs backwards in time as well, and takes sequences [*B, T] alone: "
                    "what acts has single steps [*B], and does not know those that follow."
                )
                findings.append(Finding("wrong-rank", problem, "bidirectional=True", "leave bidirectional out of it."))
    return findings


def single_steps(steps: Sequence[Step]) -> list[Finding]:
    """A finding for every loss and estimator with a memory to which a buffer gives single steps.

    Where it is not known what a buffer draws, there is none.
    """
    findings, buffer = list[Finding](), None
    for step in steps:
        if step.part.kind == "buffer":
            buffer = step.part
        learns = step.part.kind in ("loss", "estimator") and step.module is not None
        if buffer is None or buffer.slices is not False or not learns:
            continue
        memory = next((part for part in step.module.modules() if hasattr(part, "is_init_key")), None)
        if memory is not None:
            name = type(memory).__name__
            problem = (
                f"{step.part.name} ({step.part.kind}) learns with a memory, {name}, which runs over steps that follow "
                f"one another, [*B, T]; {buffer.name} (buffer) draws each step alone, [B]."
            )
            fix = (
                "let the buffer draw slices: sampler=SliceSampler(16) of a ReplayBuffer, slices=True of a Part; or "
                f"leave {name} out of the networks."
            )
            findings.append(Finding("single-steps", problem, "", fix))
    return findings


def _runs_backwards(module: Any) -> bool:
    return hasattr(module, "is_init_key") and getattr(getattr(module, "layers", None), "directions", 1) > 1
