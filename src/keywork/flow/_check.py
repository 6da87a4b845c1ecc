"""The findings of a pipeline: what it says about itself that cannot work."""

from __future__ import annotations

from collections.abc import Sequence

from keywork._errors import Finding
from keywork._keys import ADVANTAGE, SAMPLE_LOG_PROB, STATE_VALUE, VALUE_TARGET, Key, leaf, listed, nearest
from keywork.flow._graph import Carry, Part

_WRITERS = {
    ADVANTAGE: "add the estimator that writes it before",
    VALUE_TARGET: "add the estimator that writes it before",
    STATE_VALUE: "add the critic that writes it before",
    SAMPLE_LOG_PROB: "let the actor write it: ProbabilisticActor(..., return_log_prob=True)",
}

_MOST = 8  # keys that a message lists


def findings_of(parts: Sequence[Part], carries: Sequence[Carry]) -> list[Finding]:
    """Every read of an entry that nothing before writes and that no step before hands on."""
    carried = {carry.key for carry in carries}
    findings: list[Finding] = []
    for index, part in enumerate(parts):
        there = {key: other for other in parts[:index] for key in other.writes}
        missing = [key for key in part.reads if key not in there and key not in carried]
        for later in parts[index + 1 :]:
            late = [key for key in missing if key in later.writes]
            if late:
                findings.append(_too_early(part, late, later))
                missing = [key for key in missing if key not in late]
        findings += [_missing(parts[:index], part, key, there) for key in missing]
    return findings


def _too_early(part: Part, keys: Sequence[Key], later: Part) -> Finding:
    env_step = later.kind == "env"
    return Finding(
        "consumer-before-producer",
        f"{part.name} ({part.kind}) reads {listed(keys)}, which nothing before it writes.",
        f"{later.name}, which comes after it, writes {'it' if len(keys) == 1 else 'them'}",
        f"put {part.name} after {'the part that writes the action' if env_step else later.name}.",
    )


def _missing(before: Sequence[Part], part: Part, key: Key, there: dict[Key, Part]) -> Finding:
    problem = f"{part.name} ({part.kind}) reads {key!r}, which nothing before it writes."
    near = nearest(key, there)
    readers = {k: ", ".join(other.name for other in before if k in other.inputs) or "no one" for k in there}
    if near is not None:
        provided = f"{near!r} (written by {there[near].name}, read by {readers[near]})"
        return Finding("missing-key", problem, provided, f"did you mean {near!r}? Rename one of the two.")
    # Those that nobody has read yet are likelier to have been meant.
    ranked = sorted(there, key=lambda k: readers[k] != "no one")
    more = f" and {len(ranked) - _MOST} more" if len(ranked) > _MOST else ""
    advice = _WRITERS.get(leaf(key), "add the part that writes it before")
    return Finding(
        "missing-key", problem, listed(ranked[:_MOST]) + more, f"{advice}, or correct the keys of {part.name}."
    )
