"""The actions of a policy, one or several, from the arguments of its last step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch.distributions import Distribution

from keywork._errors import Finding, shape_of
from keywork._keys import Key, as_key, as_keys, listed, meant

from ._composite import CompositeDistribution
from ._composite_parts import ActionPart, parts_of_map

DistributionLike = Callable[..., Distribution] | Mapping[Any, Callable[..., Distribution]]
"""A distribution's class, a function that returns one, or one of these for each of several actions."""

_MAPS = ("distribution_map", "name_map", "extra_kwargs")


def is_several(distribution_class: DistributionLike) -> bool:
    """Whether this makes a distribution of named actions: CompositeDistribution, or a dict by the samples' keys.

    >>> is_several({"steer": Distribution}), is_several(Distribution)
    (True, False)
    """
    if isinstance(distribution_class, partial):
        return distribution_class.func is CompositeDistribution
    return isinstance(distribution_class, Mapping) or distribution_class is CompositeDistribution


def actions_of(
    distribution_class: DistributionLike, distribution_kwargs: Mapping[str, Any], out_keys: Any
) -> tuple[list[ActionPart], list[Finding]]:
    """Each action's distribution, and the key of its sample; and what is wrong with naming them so.

    Args:
        distribution_class: the distribution; for several actions CompositeDistribution, whose map is in the further
            arguments, or a dict ``{key of the sample: distribution}``.
        distribution_kwargs: further arguments; with a dict, ``{key of the sample: further arguments}``.
        out_keys: the keys of the samples, or None, if the distribution says them.

    >>> parts, _ = actions_of({"steer": Distribution, "gear": Distribution}, {}, None)
    >>> [part.key for part in parts]
    ['steer', 'gear']
    """
    samples = [] if out_keys is None else list(as_keys(out_keys))
    if is_several(distribution_class):
        if isinstance(distribution_class, Mapping):
            maps: dict[str, Any] = {"distribution_map": distribution_class, "extra_kwargs": distribution_kwargs}
            parts, findings = _several(maps, {}, samples)
            return parts, [_as_typed(finding) for finding in findings]
        given = dict(distribution_kwargs)
        if isinstance(distribution_class, partial):
            given = {**distribution_class.keywords, **given}
        maps = {name: given.pop(name, None) for name in _MAPS}
        if maps["distribution_map"] is None:
            problem = "CompositeDistribution has to know the actions, and there is no distribution_map."
            fix = "name each action: distribution_class={'steer': TanhNormal, 'gear': Categorical}."
            return [], [Finding("no-action", problem, f"distribution_kwargs names {listed(distribution_kwargs)}", fix)]
        return _several(maps, given, samples)
    assert not isinstance(distribution_class, Mapping)
    findings = _no_class(distribution_class)
    if len(samples) != 1:
        problem = f"out_keys is {samples}, and a distribution gives one sample."
        findings.append(Finding("sample-key", problem, "", "name one key, such as out_keys=['action']."))
    name = samples[0] if samples else "_"
    return [ActionPart(name, name, distribution_class, dict(distribution_kwargs))], findings


def arguments_of(
    distribution_class: DistributionLike, parts: Sequence[ActionPart]
) -> tuple[Callable[..., Distribution], dict[str, Any]]:
    """The way back: the distribution's class and the further arguments that say the same as these parts.

    >>> parts, _ = actions_of(Distribution, {"low": 0.0}, "action")
    >>> arguments_of(Distribution, parts)[1]
    {'low': 0.0}
    """
    if not is_several(distribution_class):
        return parts[0].maker, parts[0].keywords
    maps = {
        "distribution_map": {part.name: part.maker for part in parts},
        "name_map": {part.name: part.key for part in parts},
        "extra_kwargs": {part.name: part.keywords for part in parts},
    }
    return CompositeDistribution, maps


def _several(
    maps: Mapping[str, Any], further: Mapping[str, Any], samples: list[Key]
) -> tuple[list[ActionPart], list[Finding]]:
    by_name, extra = maps["distribution_map"], dict(maps.get("extra_kwargs") or {})
    names = [as_key(name) for name in by_name] if isinstance(by_name, Mapping) else []
    keys, findings = maps.get("name_map"), _misplaced(further, names, extra)
    if samples and keys is None and len(samples) == len(names):
        keys = dict(zip(names, samples, strict=True))
    common = {"validate_args": further["validate_args"]} if "validate_args" in further else {}
    if common and not findings:
        extra = {name: common | dict(extra.get(name, {})) for name in names}
    parts, wrong = parts_of_map(by_name, keys, extra if not findings else None)
    there = [part.key for part in parts]
    if samples and not wrong and set(samples) != set(there):
        problem = f"out_keys is {samples}, and the actions go to {listed(there)}."
        fix = "leave out_keys out, or name one key for each action, in the order of distribution_map."
        findings.append(Finding("sample-key", problem, "", fix))
    return parts, findings + wrong


def _no_class(given: Any) -> list[Finding]:
    """A finding if this is nothing that can be called."""
    if callable(given):
        return []
    if isinstance(given, str):
        problem, name = f"distribution_class is the name {given!r}, not the class of it.", given
    else:
        name = type(given).__name__ if isinstance(given, Distribution) else "Categorical"
        problem = f"distribution_class is {shape_of(given)}, no class: nothing can be built of it."
        if isinstance(given, Distribution):
            problem = f"distribution_class is a {name} with parameters of its own, not the class."
    fix = f"pass the class, whose parameters the network computes: distribution_class={name}."
    return [Finding("no-distribution", problem, "", fix)]


def _as_typed(finding: Finding) -> Finding:
    """The finding on a dict of distributions, in the words of the arguments in which it was given."""

    def typed(text: str) -> str:
        text = text.replace("distribution_map", "distribution_class").replace("extra_kwargs", "distribution_kwargs")
        return text.replace("with name_map={'action': key}", "in distribution_class")

    return Finding(finding.kind, typed(finding.problem), typed(finding.provided), typed(finding.fix))


def _misplaced(further: Mapping[str, Any], names: Sequence[Key], extra: Mapping[Any, Any]) -> list[Finding]:
    """Arguments that are no maps, and further arguments that do not say whose they are."""
    findings = []
    for argument in further:
        if argument not in (*_MAPS, "validate_args"):
            problem = f"CompositeDistribution has no keyword argument {argument!r}."
            fix = f"{meant(argument, _MAPS)}drop it, or give it to an action: extra_kwargs={{'action': {{...}}}}."
            findings.append(Finding("unknown-keyword", problem, f"it takes {listed(_MAPS)}", fix))
    for name, keywords in extra.items():
        if not isinstance(keywords, Mapping):
            problem = f"the further arguments of {name!r} are {keywords!r}, which is no dict."
            fix = "say whose arguments they are: {'action': {'low': 0.0}}."
            findings.append(Finding("unknown-keyword", problem, f"the actions are {listed(names)}", fix))
    return findings
