"""What can be wrong with a policy before it has run: between its distribution, its spec and its networks."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keywork._errors import Finding, describe
from keywork._keys import Key, is_parent, listed, path_of
from keywork.distributions import form_of_samples
from keywork.specs import Bounded, Categorical, MultiBinary, MultiDiscrete, OneHot, Spec, Unbounded

# Of each kind of spec, the forms of its actions, and the distribution that has them.
_FORMS: tuple[tuple[tuple[type[Spec], ...], tuple[str, ...], str], ...] = (
    ((Categorical,), ("an index", "several indices"), "Categorical"),
    ((OneHot,), ("a one-hot vector",), "OneHotCategorical"),
    ((MultiDiscrete,), ("several indices", "an index"), "MultiCategorical"),
    ((MultiBinary,), ("zeros and ones",), "Bernoulli"),
    ((Bounded,), ("numbers",), "TanhNormal"),
    ((Unbounded,), ("numbers",), "IndependentNormal"),
)


def spec_findings(parts: Sequence[Any], specs: Mapping[Key, Spec]) -> list[Finding]:
    """What in the distributions cannot be that of the specs.

    Args:
        parts: each action's key, distribution (``maker``) and further arguments (``keywords``).
        specs: what each action is, by its key.
    """
    return [finding for part in parts for finding in _misfits(part, specs[part.key], len(parts) > 1)]


def _misfits(part: Any, spec: Spec, several: bool) -> Iterable[Finding]:
    name, form = describe(part.maker), form_of_samples(part.maker)
    accepted = inspect.signature(part.maker).parameters
    wanted, usual = next((row[1:] for row in _FORMS if isinstance(spec, row[0])), ((), ""))
    if wanted == ("numbers",) and not spec.dtype.is_floating_point:
        return  # whole numbers between bounds may be drawn in more than one way
    if form is not None and wanted and form not in wanted:
        problem = f"{name} draws {form}, and an action of the spec of {part.key!r} is {wanted[0]}."
        fix = f"distribution_class={usual} for such a spec, or the spec of such a distribution."
        yield Finding("spec-form", problem, f"spec={spec!r}", fix)
        return
    if {"low", "high"} <= {*accepted} and not {"low", "high"} <= {*part.keywords} and not _bounded(spec):
        problem = f"{name} draws between two bounds, and the spec of {part.key!r} does not have both."
        where = f"among the further arguments of {part.key!r}" if several else "in distribution_kwargs"
        fix = f"IndependentNormal for an action without bounds, or say them: {{'low': -1.0, 'high': 1.0}} {where}."
        yield Finding("no-bounds", problem, f"spec={spec!r}", fix)
    argument = next((option for option in ("event_dims", "event_dim") if option in accepted), None)
    if argument is not None and wanted:
        given = part.keywords.get(argument)
        counted, there = 1 if given is None else given, len(spec.shape)
        if counted > there:
            problem = f"{name} takes {counted} dimension(s) as one action, and one of {part.key!r} has {there}."
            fix = f"{argument}={there} among the distribution's further arguments."
            yield Finding("event-dims", problem, f"spec={spec!r}", fix)


def _bounded(spec: Spec) -> bool:
    if isinstance(spec, Bounded):
        return bool((spec.low.isfinite() & spec.high.isfinite()).all())
    return not isinstance(spec, Unbounded)


def unfed_findings(head: Any, written: Sequence[Key]) -> list[Finding]:
    """The actions whose distribution takes nothing of what the networks write.

    Args:
        head: the policy's last step.
        written: what the steps before it write.
    """
    if head._plan.group or head._plan.alone is not None:
        reads = [("the distribution", list(head.in_keys))]
    else:
        reads = [
            (f"the distribution of {call.key!r}", [head.dist_params_keys[slot] for slot in call.slots])
            for call in head._plan.calls
        ]
    findings = []
    for who, keys in reads:
        if not any(key == there or is_parent(key, there) or is_parent(there, key) for key in keys for there in written):
            lack = "none of which the module writes" if len(keys) > 1 else "which the module does not write"
            fix = f"name what the module writes: out_keys={keys}, or in_keys={{'argument': key}}."
            problem = f"{who} reads {listed(keys)}, {lack}."
            findings.append(Finding("unfed-distribution", problem, f"the module writes {listed(written)}", fix))
    return findings


def example_group(head: Any) -> str:
    """What to type where a parameter lies inside the entry that the action takes; empty, if none does."""
    inside = [key for key in head.in_keys for sample in head.dist_sample_keys if is_parent(sample, key)]
    if not inside:
        return ""
    elsewhere = ("params", *path_of(inside[0]))
    return f"an action is no group of entries: write its parameters elsewhere, such as {elsewhere!r}."
