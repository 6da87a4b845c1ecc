"""Several named actions, as a user writes them down: which distribution each has, and where its sample goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from torch.distributions import Distribution

from keywork._errors import Finding, describe
from keywork._keys import Key, as_key, is_parent, listed, meant


class ActionPart(NamedTuple):
    """One action of a policy.

    Attributes:
        name: what the user calls it.
        key: where its sample goes.
        maker: its distribution, or a function that returns one.
        keywords: further arguments of every construction.
    """

    name: Key
    key: Key
    maker: Callable[..., Distribution]
    keywords: dict[str, Any]


def parts_of_map(
    distribution_map: Any, name_map: Mapping[Any, Any] | None, extra_kwargs: Mapping[Any, Mapping[str, Any]] | None
) -> tuple[list[ActionPart], list[Finding]]:
    """The parts that the arguments of a CompositeDistribution name, and what is wrong with them.

    >>> from torch.distributions import Normal
    >>> parts, findings = parts_of_map({"steer": Normal}, {"steer": ("car", "steer")}, {"stear": {}})
    >>> parts[0].key, findings[0].problem
    (('car', 'steer'), "extra_kwargs names 'stear', which distribution_map does not.")
    """
    if not isinstance(distribution_map, Mapping) or not distribution_map:
        given = "empty" if isinstance(distribution_map, Mapping) else describe(distribution_map)
        fix = "name each action: distribution_map={'steer': TanhNormal, 'gear': Categorical}."
        return [], [Finding("no-action", f"distribution_map is {given}.", "", fix)]
    plain = all(type(name) is str and name and callable(maker) for name, maker in distribution_map.items())
    if plain and not name_map and not extra_kwargs:  # the common case, in which nothing can be wrong
        return [ActionPart(name, name, maker, {}) for name, maker in distribution_map.items()], []
    makers = {as_key(name): maker for name, maker in distribution_map.items()}
    keys = {as_key(name): as_key(key) for name, key in (name_map or {}).items()}
    extra = {as_key(name): dict(keywords) for name, keywords in (extra_kwargs or {}).items()}
    findings = [
        Finding(
            "unknown-action",
            f"{owner} names {name!r}, which distribution_map does not.",
            f"distribution_map names {listed(makers)}",
            f"{meant(name, makers)}name an action of distribution_map, or leave this one out.",
        )
        for owner, names in (("name_map", keys), ("extra_kwargs", extra))
        for name in names
        if name not in makers
    ]
    for name, maker in makers.items():
        if not callable(maker):
            problem = f"the distribution of {name!r} is {maker!r}, which cannot be called."
            findings.append(Finding("no-distribution", problem, "", "give a class, or a function that returns one."))
    parts = [ActionPart(name, keys.get(name, name), maker, extra.get(name, {})) for name, maker in makers.items()]
    return parts, findings + overlaps([part.key for part in parts])


def overlaps(keys: Sequence[Key]) -> list[Finding]:
    """The keys of samples that are equal, or lie inside one another."""
    return [
        Finding(
            "overlapping-actions",
            f"the samples of two actions go to {one!r} and {other!r}, which cannot both be there.",
            f"the samples go to {listed(keys)}",
            "give each action a key of its own with name_map={'action': key}.",
        )
        for one, other in combinations(keys, 2)
        if one == other or is_parent(one, other) or is_parent(other, one)
    ]
