"""What a buffer says of its samples and a loss has to know: how they were drawn, and how far ahead they look."""

from __future__ import annotations

from collections.abc import Sequence

from keywork._errors import Finding
from keywork._keys import DISCOUNT, PRIORITY_WEIGHT, Key
from keywork.flow._graph import Part

_MEANT: dict[Key, tuple[str, str]] = {
    PRIORITY_WEIGHT: (
        "draws some steps more often than others and weighs that in",
        "draw evenly: leave sampler=PrioritizedSampler(...) out; or take a loss that weighs its samples, such as "
        "DQNLoss or SACLoss.",
    ),
    DISCOUNT: (
        "sums the rewards of several steps and says what the value after them counts for in",
        "leave n_step=... out; or take a loss that bootstraps from its samples, such as DQNLoss or SACLoss.",
    ),
}


def unweighed_samples(parts: Sequence[Part]) -> list[Finding]:
    """A finding for every loss that learns from a buffer's samples as though they were plain steps, which they are not.

    >>> buffer = Part("buffer", "buffer", writes=("index", "priority_weight"))
    >>> [finding.kind for finding in unweighed_samples([buffer, Part("loss", "loss", reads=("action",))])]
    ['unweighed-samples']
    >>> unweighed_samples([buffer, Part("loss", "loss", optional=("priority_weight",))])
    []
    """
    findings = []
    for index, buffer in enumerate(parts):
        told = [key for key in buffer.writes if key in _MEANT] if buffer.kind == "buffer" else []
        for key in told:
            later = parts[index + 1 :]
            losses = [part for part in later if part.kind == "loss"]
            if losses and not any(key in part.inputs for part in later):
                problem = (
                    f"{buffer.name} (buffer) {_MEANT[key][0]} {key!r}, which {losses[0].name} (loss) does not read."
                )
                findings.append(Finding("unweighed-samples", problem, "", _MEANT[key][1]))
    return findings
