"""What steps carry to their own following step: which specs their modules say, and what nobody would feed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keywork._errors import Finding, SpecError
from keywork._keys import Key
from keywork.flow._parts import Step
from keywork.specs import TensorSpec


def carried_specs(step: Step) -> Iterator[tuple[Key, TensorSpec | None]]:
    """What a step carries, as the ``carried_specs`` of its modules say; the outer ones last, which prevail.

    None stands for the state of noise that waits for the spec of its action: a collector knows that one, and fills
    it in.
    """
    for part in reversed(list(step.module.modules()) if step.part.carries and step.module is not None else []):
        try:
            said = dict(getattr(part, "carried_specs", {}).items())
        except SpecError:
            said = dict.fromkeys(part.contract.carries)
        yield from ((key, spec) for key, spec in said.items() if key in step.part.carries)


def unfed_states(steps: Sequence[Step]) -> list[Finding]:
    """A finding for every state that a module carries in an environment, and of which nobody says how it begins."""
    if all(step.part.kind != "env" for step in steps):
        return []
    findings = []
    for step in steps:
        said = {key for key, _ in carried_specs(step)}
        for key in step.part.carries if step.module is not None else ():
            if key not in said:
                problem = (
                    f"{step.part.name} ({step.part.kind}) carries {key!r} from step to step, and none of its modules "
                    "says what it is: an episode's first step would have none."
                )
                fix = f"give the module a property carried_specs: Composite({{{key!r}: Unbounded(shape)}})."
                findings.append(Finding("unfed-state", problem, "", fix))
    return findings
