"""All that is wrong with the graph of a pipeline: who writes, who reads, who remembers, who learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from keywork._errors import Finding
from keywork.flow._carried import unfed_states
from keywork.flow._check import findings_of
from keywork.flow._critics import blind_critics, knowing_critics
from keywork.flow._graph import Carry
from keywork.flow._late import late_normalisers
from keywork.flow._memories import backward_memories, shared_states, single_steps, unwritten_states
from keywork.flow._overwritten import overwritten
from keywork.flow._parts import Step
from keywork.flow._stale import stale_in
from keywork.flow._trained import training_findings
from keywork.flow._unweighed import unweighed_samples


def graph_findings(steps: Sequence[Step], carries: Sequence[Carry]) -> list[Finding]:
    """What can be said without computing anything."""
    return [
        *findings_of(steps, carries),
        *overwritten(steps),
        *unfed_states(steps),
        *unwritten_states(steps),
        *shared_states(steps),
        *backward_memories(steps),
        *single_steps(steps),
        *stale_in(steps),
        *late_normalisers(steps),
        *blind_critics(steps),
        *knowing_critics(steps),
        *training_findings(steps),
        *unweighed_samples([step.part for step in steps]),
    ]


def passed_over(findings: Sequence[Finding]) -> str:
    """The findings in a few words, for the log.

    >>> passed_over([Finding("missing-key", "", "", "")] * 2)
    '2 findings: missing-key (2)'
    """
    kinds = ", ".join(f"{kind} ({count})" for kind, count in Counter(finding.kind for finding in findings).items())
    return f"{len(findings)} finding{'s' * (len(findings) != 1)}: {kinds}"
