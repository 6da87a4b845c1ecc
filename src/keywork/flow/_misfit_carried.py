"""States that are not handed on as they were taken: the step after could not read them."""

from __future__ import annotations

from keywork._errors import Finding
from keywork._keys import next_key
from keywork.flow._trace import Trial


def misfits_of_carried(trial: Trial) -> list[Finding]:
    """A finding for each state whose next one has another shape or type than the one that the step began with."""
    findings = []
    for key in trial.step.part.carries:
        before, after = trial.given.get(key), trial.wrote.get(next_key(key))
        if before is None or after is None or (before.shape, before.dtype) == (after.shape, after.dtype):
            continue
        problem = (
            f"{trial.place} begins with {key!r} as {before.holds.dtype}{before.holds.shape_text} and writes "
            f"{next_key(key)!r} as {after.holds.dtype}{after.holds.shape_text}: its following step would get that."
        )
        fix = f"write {next_key(key)!r} as {key!r} is, or correct what carried_specs says of {key!r}."
        findings.append(Finding("changed-state", problem, f"{key!r} {before}", fix))
    return findings
