"""Which values an entry can take, where a module says so."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from typing import Any

from torch import Tensor
from torch.distributions import constraints

from keywork._keys import Key
from keywork.distributions import CompositeDistribution, Delta
from keywork.specs import Composite, Spec


def declared_spec(module: Any, key: Key) -> Spec | None:
    """What a module's ``spec`` says of one of its outputs; None if it has none."""
    spec = getattr(module, "spec", None)
    if isinstance(spec, Composite):
        return spec.get(key)
    if list(module.out_keys)[:1] != [key]:
        return None  # one spec for several outputs is that of the first
    return spec if isinstance(spec, Spec) else None


def supports_drawn(dist: Any, module: Any, outputs: Mapping[Key, Any]) -> dict[Key, Any]:
    """The support of each sample that a module draws from its distribution, and does not project into a spec."""
    projects = getattr(getattr(module, "_plan", None), "project", None) or ()
    projected = [
        key for key, project in zip(getattr(module, "dist_sample_keys", ()), projects, strict=False) if project
    ]
    return {key: part.support for key, part in _parts(dist, module).items() if key in outputs and key not in projected}


def points_drawn(dist: Any, module: Any) -> frozenset[Key]:
    """The samples that are where the network puts them: that their support is everything says nothing of that."""
    return frozenset(key for key, part in _parts(dist, module).items() if isinstance(part, Delta))


def _parts(dist: Any, module: Any) -> Mapping[Key, Any]:
    keys = getattr(module, "dist_sample_keys", list(module.out_keys)[:1])
    parts: Mapping[Key, Any] = dist.dists if isinstance(dist, CompositeDistribution) else dict.fromkeys(keys[:1], dist)
    return parts


def domain_of_support(support: Any, sample: Tensor) -> str:
    """A distribution's support in the words of the specs; empty where there are none for it.

    >>> import torch
    >>> domain_of_support(constraints.interval(-2.0, 2.0), torch.empty(3))
    '[-2, 2]'
    >>> domain_of_support(constraints.integer_interval(0, 3), torch.empty(()))
    '{0..3}'
    """
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    if support is constraints.one_hot:
        return f"one-hot {sample.shape[-1]}"
    if support is constraints.real:
        return "real"
    low, high = _number(getattr(support, "lower_bound", None)), _number(getattr(support, "upper_bound", None))
    if low is None or high is None:
        return ""
    return f"{{{low}..{high}}}" if isinstance(support, constraints.integer_interval) else f"[{low}, {high}]"


def _number(bound: Any) -> str | None:
    return f"{bound:g}" if isinstance(bound, Number) else None
