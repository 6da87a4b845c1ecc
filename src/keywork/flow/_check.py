"""The findings of a pipeline: what it says about itself that cannot work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keywork._errors import Finding
from keywork._keys import ACTION, Key, leaf, listed, nearest, next_key, with_leaf
from keywork.flow._advice import advice_on
from keywork.flow._dropped import dropped, keeps
from keywork.flow._graph import Carry, Part
from keywork.flow._parts import Step

_MOST = 8  # keys that a message lists


def findings_of(steps: Sequence[Step], carries: Sequence[Carry]) -> list[Finding]:
    """Every read of an entry that nothing before writes and that no step before hands on."""
    parts = [step.part for step in steps]
    findings: list[Finding] = []
    there: dict[Key, Part] = {}
    written = {key for part in parts for key in part.writes}
    # That nobody writes the next one of a state is a finding of its own.
    carried = {carry.key for carry in carries} | {
        key for part in parts for key in part.carries if next_key(key) not in written
    }
    for index, part in enumerate(parts):
        missing = [key for key in part.reads if key not in there and key not in carried]
        lost = {key: found for key in missing if (found := dropped(steps[:index], steps[index], key))}
        findings += lost.values()
        missing = [key for key in missing if key not in lost]
        for later in parts[index + 1 :]:
            late = [key for key in missing if key in later.writes]
            if late:
                findings.append(_too_early(part, late, later))
                missing = [key for key in missing if key not in late]
        findings += [_missing(parts, index, key, there) for key in missing]
        there = {key: other for key, other in there.items() if keeps(part, key)} | dict.fromkeys(part.writes, part)
        carried = {key for key in carried if keeps(part, key)}
    return findings


def action_of(parts: Sequence[Part]) -> Key:
    """What the environment takes, if there is one."""
    return next((part.reads[0] for part in parts if part.kind == "env" and part.reads), ACTION)


def _too_early(part: Part, keys: Sequence[Key], later: Part) -> Finding:
    env_step = later.kind == "env"
    return Finding(
        "consumer-before-producer",
        f"{part.name} ({part.kind}) reads {listed(keys)}, which nothing before it writes.",
        f"{later.name}, which comes after it, writes {'it' if len(keys) == 1 else 'them'}",
        f"put {part.name} after {'the part that writes the action' if env_step else later.name}.",
    )


def _missing(parts: Sequence[Part], index: int, key: Key, there: dict[Key, Part]) -> Finding:
    part = parts[index]
    problem = f"{part.name} ({part.kind}) reads {key!r}, which nothing before it writes."
    near = nearest(key, there) or _other_word(key, there)
    readers = {k: ", ".join(other.name for other in parts[:index] if k in other.inputs) or "no one" for k in there}
    advice = advice_on(key, there, action_of(parts))
    if isinstance(key, tuple) and all(name in there for name in key):
        fix = f"a tuple is one nested key, and several keys are a list: in_keys=[{listed(key)}]."
        return Finding("missing-key", problem, listed(key), fix)
    if near is not None and advice.kind != "no-next":
        provided = f"{near!r} (written by {there[near].name}, read by {readers[near]})"
        return Finding("missing-key", problem, provided, f"did you mean {near!r}? Rename one of the two.")
    # Those that nobody has read yet are likelier to have been meant.
    ranked = sorted(there, key=lambda k: readers[k] != "no one")
    more = f" and {len(ranked) - _MOST} more" if len(ranked) > _MOST else ""
    provided = listed(ranked[:_MOST]) + more
    return Finding(advice.kind, problem, provided, f"{advice.fix}, or correct the keys of {part.name}.")


def _other_word(key: Key, there: Iterable[Key]) -> Key | None:
    """The one entry of the same group whose name is the last words of this one's, or the other way round.

    >>> _other_word("action_mask", ["mask", "observation"]), _other_word("mask", ["left_mask", "right_mask"])
    ('mask', None)
    """
    beside = [other for other in there if with_leaf(other, leaf(key)) == key]
    alike = [k for k in beside if leaf(k).endswith(f"_{leaf(key)}") or leaf(key).endswith(f"_{leaf(k)}")]
    return alike[0] if len(alike) == 1 else None
